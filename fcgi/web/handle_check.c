/* POST /divine/oauth/health/check: providers are asked, now. */
#include "custody/check.h"
#include "custody/report.h"
#include "store/client.h"
#include "web/gate.h"
#include "web/handle.h"
#include "web/reply.h"

static enum err give(struct work *w, const struct store_report *report, void *context)
{
	struct web_reply *reply = context;

	(void)w;
	custody_report_json(&reply->json, report);
	return web_reply_flush(reply);
}

/* A client that is not there, or not the caller's, is no empty list. */
static enum err check_client(struct web_request *r, const char *client, const char *provider)
{
	const char *name = NULL;
	enum err err = web_gate_scope(r, client, provider);

	return err ? err : store_client_get(r->w, r->c->db, client, &name);
}

enum err web_handle_check(struct web_request *r)
{
	const char *client = web_request_text(r, "clientId");
	const char *provider = web_request_text(r, "provider");
	struct custody_check check = {.scope = web_gate_narrow(r, client, provider)};
	struct web_reply reply;
	struct jout *j = &reply.json;
	enum err err = client ? check_client(r, client, provider) : ERR_OK;

	if (!err)
		err = custody_check_now(r->w, r->c, r->places, &check);
	if (!err)
		err = store_db_ready(r->w, r->c->db);
	if (err)
		return err;
	web_reply_begin_enveloped(&reply, r);
	jout_int(j, "checked", (int64_t)check.checked);
	jout_int(j, "unhealthy", (int64_t)check.unhealthy);
	if (check.total > (int64_t)check.checked)
		jout_int(j, "remaining", check.total - (int64_t)check.checked);
	jout_array(j, "reports");
	err = store_report_some(r->w, r->c->db, check.ids, check.checked, give, &reply);
	if (err)
		return err;
	jout_end_array(j);
	return web_reply_end(&reply);
}
