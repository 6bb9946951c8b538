/* POST /api/oauth/undo/:clientId. */
#include "custody/undo.h"
#include "web/gate.h"
#include "web/handle.h"
#include "web/reply.h"

#include <string.h>

enum err web_handle_reason(struct web_request *r)
{
	const char *reason = web_request_text(r, "reason");

	return reason && !reason[strspn(reason, " ")]
		       ? work_fail_field(r->w, "reason", "says nothing")
		       : ERR_OK;
}

enum err web_handle_undo(struct web_request *r)
{
	struct custody_undoing asked = {.client = web_request_text(r, "clientId"),
		.provider = web_request_text(r, "provider"),
		.reason = web_request_text(r, "reason"),
		.places = r->places};
	struct web_reply reply;
	enum err err = web_handle_reason(r);

	if (!err)
		err = web_gate_scope(r, asked.client, asked.provider);
	if (!err)
		err = custody_undo(r->w, r->c, &asked);
	if (err)
		return err;
	web_reply_begin(&reply, r, 200);
	jout_text(&reply.json, "clientId", asked.client);
	jout_text(&reply.json, "provider", asked.provider);
	jout_text(&reply.json, "status", asked.status);
	jout_int(&reply.json, "generation", asked.generation);
	return web_reply_end(&reply);
}
