/* GET /api/oauth/authorize/:clientId and the emergency flow, which begins the same way. */
#include "custody/flow.h"
#include "web/gate.h"
#include "web/handle.h"
#include "web/reply.h"

enum err web_handle_authorize(struct web_request *r)
{
	struct custody_flow flow = {.client = web_request_text(r, "clientId"),
		.provider = web_request_text(r, "provider"),
		.kind = CUSTODY_FLOW_AUTHORIZE,
		.may_connect = r->caller.role == CUSTODY_ADMIN};
	struct web_reply reply;
	enum err err = web_gate_scope(r, flow.client, flow.provider);

	if (!err)
		err = custody_flow_begin(r->w, r->c, &flow);
	if (err)
		return err;
	if (!web_request_names_json(r))
		return web_reply_empty(r, 303, "Location", flow.authorization_url);
	web_reply_begin(&reply, r, 200);
	jout_text(&reply.json, "authorizationUrl", flow.authorization_url);
	jout_text(&reply.json, "expiresAt", flow.expires_at);
	jout_text(&reply.json, "clientId", flow.client);
	jout_text(&reply.json, "provider", flow.provider);
	return web_reply_end(&reply);
}

static void instructions(struct jout *j)
{
	jout_array(j, "instructions");
	jout_text(j, NULL,
		"Open auth_url in a browser, signed in at the provider as the account that owns "
		"the data.");
	jout_text(j, NULL,
		"Accept the consent. The browser then comes back here and shows the result.");
	jout_text(j, NULL,
		"The old token keeps serving until the new one is proved; the incident closes by "
		"itself.");
	jout_end_array(j);
}

enum err web_handle_defaults(struct web_request *r, const char **client, const char **provider)
{
	if (!*client)
		*client = conf_text(r->c->conf, CONF_default_client);
	if (!**client)
		return work_fail_field(
			r->w, "clientId", "is missing, and the setting default_client is not set");
	if (!*provider)
		*provider = "zoho_crm";
	return ERR_OK;
}

enum err web_handle_emergency(struct web_request *r)
{
	struct custody_flow flow = {.client = web_request_text(r, "clientId"),
		.provider = web_request_text(r, "provider"),
		.reason = web_request_text(r, "reason"),
		.kind = CUSTODY_FLOW_EMERGENCY,
		.may_connect = 1};
	struct web_reply reply;
	enum err err = web_handle_defaults(r, &flow.client, &flow.provider);

	if (!err)
		err = web_gate_scope(r, flow.client, flow.provider);
	if (!err)
		err = custody_flow_begin(r->w, r->c, &flow);
	if (err)
		return err;
	web_reply_begin(&reply, r, 200);
	jout_bool(&reply.json, "success", 1);
	jout_text(&reply.json, "auth_url", flow.authorization_url);
	jout_text(&reply.json, "expiresAt", flow.expires_at);
	jout_int(&reply.json, "incidentId", flow.incident_id);
	jout_text(&reply.json, "clientId", flow.client);
	jout_text(&reply.json, "provider", flow.provider);
	instructions(&reply.json);
	return web_reply_end(&reply);
}
