/* POST /api/oauth/token/:clientId/rejected and POST /api/oauth/refresh/:clientId. */
#include "custody/order.h"
#include "web/gate.h"
#include "web/handle.h"
#include "web/reply.h"

static struct custody_order order_of(const struct web_request *r)
{
	return (struct custody_order){.client = web_request_text(r, "clientId"),
		.provider = web_request_text(r, "provider"),
		.places = r->places,
		.reported = web_request_value(r, "generation")->number};
}

enum err web_handle_rejected(struct web_request *r)
{
	struct custody_order order = order_of(r);
	struct web_reply reply;
	enum err err = web_gate_scope(r, order.client, order.provider);

	if (!err)
		err = custody_order_rejected(r->w, r->c, &order);
	if (err)
		return err;
	web_reply_begin(&reply, r, 200);
	jout_int(&reply.json, "generation", order.generation);
	jout_bool(&reply.json, "renewed", order.renewed);
	return web_reply_end(&reply);
}

enum err web_handle_refresh(struct web_request *r)
{
	struct custody_order order = order_of(r);
	struct web_reply reply;
	enum err err = web_gate_scope(r, order.client, order.provider);

	if (!err)
		err = custody_order_refresh(r->w, r->c, &order);
	if (err)
		return err;
	web_reply_begin(&reply, r, 200);
	jout_text(&reply.json, "clientId", order.client);
	jout_text(&reply.json, "provider", order.provider);
	jout_text(&reply.json, "status", order.status);
	jout_int(&reply.json, "generation", order.generation);
	jout_bool(&reply.json, "renewed", order.renewed);
	return web_reply_end(&reply);
}
