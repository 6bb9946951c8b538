/* POST /api/oauth/reauthorize/:clientId. */
#include "custody/reauthorize.h"
#include "web/gate.h"
#include "web/handle.h"
#include "web/reply.h"

enum err web_handle_reauthorize(struct web_request *r)
{
	struct custody_reauthorization asked = {.client = web_request_text(r, "clientId"),
		.provider = web_request_text(r, "provider"),
		.reason = web_request_text(r, "reason")};
	struct web_reply reply;
	enum err err = web_gate_scope(r, asked.client, asked.provider);

	if (!err)
		err = custody_reauthorize(r->w, r->c, &asked);
	if (err)
		return err;
	web_reply_begin(&reply, r, 200);
	jout_text(&reply.json, "message", "Token deleted. Initiate new OAuth flow.");
	jout_text(&reply.json, "authorizeUrl",
		work_printf(
			r->w, "/api/oauth/authorize/%s?provider=%s", asked.client, asked.provider));
	jout_text(&reply.json, "clientId", asked.client);
	jout_text(&reply.json, "provider", asked.provider);
	jout_int(&reply.json, "incidentId", asked.incident_id);
	return web_reply_end(&reply);
}
