/* DELETE /api/oauth/token/:clientId: the token is removed here, and revoked at the provider. */
#include "base/text.h"
#include "custody/revoke.h"
#include "web/gate.h"
#include "web/handle.h"
#include "web/reply.h"

enum err web_handle_remove(struct web_request *r)
{
	struct custody_removal removal = {.client = web_request_text(r, "clientId"),
		.provider = web_request_text(r, "provider"),
		.places = r->places};
	struct web_reply reply;
	enum err err = web_gate_scope(r, removal.client, removal.provider);

	if (!err)
		err = custody_revoke_remove(r->w, r->c, &removal);
	if (err)
		return err;
	web_reply_begin(&reply, r, text_equal(removal.revocation, "pending") ? 202 : 200);
	jout_text(&reply.json, "revocation", removal.revocation);
	return web_reply_end(&reply);
}
