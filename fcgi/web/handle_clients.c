/* GET /api/oauth/clients and PUT /api/oauth/clients/:clientId. */
#include "base/text.h"
#include "custody/onboard.h"
#include "store/client.h"
#include "web/gate.h"
#include "web/handle.h"
#include "web/reply.h"

static void compose(struct jout *j, const struct store_client *client)
{
	jout_text(j, "clientId", client->id);
	jout_text(j, "name", client->name);
	jout_raw(j, "providers", client->providers_json);
}

enum err web_handle_clients(struct web_request *r)
{
	struct store_client *clients = NULL;
	struct web_reply reply;
	size_t n = 0;
	enum err err = store_client_list(r->w, r->c->db, &r->caller.scope, &clients, &n);

	if (err)
		return err;
	web_reply_begin(&reply, r, 200);
	jout_array(&reply.json, "clients");
	for (size_t i = 0; !err && i < n; i++) {
		jout_object(&reply.json, NULL);
		compose(&reply.json, &clients[i]);
		jout_end_object(&reply.json);
		err = web_reply_flush(&reply);
	}
	jout_end_array(&reply.json);
	return err ? err : web_reply_end(&reply);
}

/* A scope of providers cannot judge the whole list of a client's connections. */
static enum err check_scope(struct web_request *r, const struct custody_onboarding *o)
{
	enum err err = web_gate_scope(r, o->client, NULL);

	return !err && r->caller.scope.providers ? ERR_FORBIDDEN : err;
}

enum err web_handle_client_put(struct web_request *r)
{
	const struct web_value *providers = web_request_value(r, "providers");
	struct custody_onboarding o = {.client = web_request_text(r, "clientId"),
		.name = web_request_text(r, "name"),
		.providers = providers->list,
		.provider_count = providers->count};
	const char *ids[] = {o.client};
	const struct store_scope only = {.clients = ids, .client_count = 1};
	struct store_client *clients = NULL;
	struct web_reply reply;
	size_t n = 0;
	enum err err = check_scope(r, &o);

	if (!err)
		err = custody_onboard(r->w, r->c, &o);
	if (!err)
		err = store_client_list(r->w, r->c->db, &only, &clients, &n);
	if (err)
		return err;
	web_reply_begin(&reply, r, o.is_new ? 201 : 200);
	for (size_t i = 0; i < n; i++)
		compose(&reply.json, &clients[i]);
	return web_reply_end(&reply);
}
