/* POST /api/zoho/manual-token-update. */
#include "custody/override.h"
#include "custody/report.h"
#include "web/gate.h"
#include "web/handle.h"
#include "web/reply.h"

#include <string.h>

/* What no token holds, or ends with, comes of copying. Source: RFC 6749 appendix A.12 and A.17. */
static enum err take_token(struct web_request *r, const char *field, struct secret **token)
{
	const char *text = web_request_text(r, field);
	size_t n = text ? strlen(text) : 0;

	*token = NULL;
	if (!text)
		return ERR_OK;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] > 0x7e)
			return work_fail_field(r->w, field, "holds a character that no token has");
	if (text[0] == ' ' || text[n - 1] == ' ')
		return work_fail_field(r->w, field, "begins or ends with a space");
	*token = secret_new(r->w, text, n);
	return *token ? ERR_OK : ERR_NO_MEMORY;
}

static enum err answer(struct web_request *r, const struct custody_override *asked)
{
	struct web_reply reply;

	web_reply_begin(&reply, r, 200);
	jout_bool(&reply.json, "success", 1);
	jout_text(&reply.json, "clientId", asked->client);
	jout_text(&reply.json, "provider", asked->provider);
	jout_text(&reply.json, "status", asked->status);
	if (asked->generation)
		jout_int(&reply.json, "generation", asked->generation);
	else
		jout_null(&reply.json, "generation");
	jout_bool(&reply.json, "dryRun", asked->is_dry_run);
	custody_report_persisted(&reply.json, &asked->persisted);
	return web_reply_end(&reply);
}

enum err web_handle_override(struct web_request *r)
{
	struct custody_override asked = {.client = web_request_text(r, "clientId"),
		.provider = web_request_text(r, "provider"),
		.datacenter = web_request_text(r, "datacenter"),
		.expires_in_s = web_request_value(r, "expires_in")->number,
		.reason = web_request_text(r, "reason"),
		.accept_account = web_request_text(r, "acceptAccount"),
		.is_dry_run = web_request_value(r, "dryRun")->number != 0,
		.places = r->places};
	enum err err = web_handle_defaults(r, &asked.client, &asked.provider);

	if (!err)
		err = take_token(r, "refresh_token", &asked.refresh);
	if (!err)
		err = take_token(r, "access_token", &asked.access);
	if (!err)
		err = web_handle_reason(r);
	if (!err)
		err = web_gate_scope(r, asked.client, asked.provider);
	if (!err)
		err = custody_override(r->w, r->c, &asked);
	return err ? err : answer(r, &asked);
}
