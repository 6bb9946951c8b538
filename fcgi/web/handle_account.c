/* POST /api/oauth/accept-account/:clientId. */
#include "custody/held.h"
#include "custody/report.h"
#include "web/gate.h"
#include "web/handle.h"
#include "web/reply.h"

enum err web_handle_accept_account(struct web_request *r)
{
	struct custody_held_taking taking = {.client = web_request_text(r, "clientId"),
		.provider = web_request_text(r, "provider"),
		.accept_account = web_request_text(r, "acceptAccount"),
		.reason = web_request_text(r, "reason")};
	struct web_reply reply;
	enum err err = web_gate_scope(r, taking.client, taking.provider);

	if (!err)
		err = custody_held_take(r->w, r->c, &taking);
	if (err)
		return err;
	web_reply_begin(&reply, r, 200);
	jout_text(&reply.json, "clientId", taking.client);
	jout_text(&reply.json, "provider", taking.provider);
	jout_text(&reply.json, "status", taking.status);
	jout_int(&reply.json, "generation", taking.generation);
	custody_report_persisted(&reply.json, &taking.persisted);
	return web_reply_end(&reply);
}
