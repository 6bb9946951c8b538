/* GET /api/oauth/token/:clientId: a live access token for a service. */
#include "base/text.h"
#include "custody/dispense.h"
#include "web/gate.h"
#include "web/handle.h"
#include "web/reply.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The generation an If-None-Match names; 0: none of ours. Source: RFC 9110 section 13.1.2. */
static int64_t known_generation(const char *etag)
{
	int64_t generation = 0;
	char digits[20];
	size_t n;

	if (!etag)
		return 0;
	if (text_starts(etag, "W/"))
		etag += 2;
	n = *etag == '"' ? strcspn(etag + 1, "\"") : sizeof(digits);
	if (n >= sizeof(digits) || etag[n + 1] != '"' || etag[n + 2])
		return 0;
	memcpy(digits, etag + 1, n);
	digits[n] = '\0';
	return text_to_int(digits, 1, INT64_MAX, &generation) ? generation : 0;
}

static enum err give(struct web_request *r, const struct custody_dispense *asked, const char *etag)
{
	const struct store_served *served = &asked->served;
	struct web_reply reply;

	web_reply_begin(&reply, r, 200);
	reply.header_name = "ETag";
	reply.header_value = etag;
	jout_text(&reply.json, "access_token", secret_reveal(asked->access));
	jout_text(&reply.json, "token_type", served->token_type);
	jout_text(&reply.json, "authorization_scheme", asked->provider->authorization_scheme);
	jout_text(&reply.json, "expires_at", served->expires_at);
	if (served->seconds_left < 0)
		jout_null(&reply.json, "expires_in");
	else
		jout_int(&reply.json, "expires_in", served->seconds_left);
	jout_int(&reply.json, "generation", served->generation);
	jout_text(&reply.json, "api_domain", asked->api_domain);
	jout_bool(&reply.json, "degraded", served->degraded);
	return web_reply_end(&reply);
}

enum err web_handle_token(struct web_request *r)
{
	const struct web_value *min_ttl = web_request_value(r, "min_ttl");
	struct custody_dispense asked = {
		.client = web_request_text(r, "clientId"),
		.known_generation = known_generation(r->raw.if_none_match),
		.min_ttl_s = min_ttl->text ? min_ttl->number : -1,
	};
	const char *etag;
	enum err err =
		custody_provider(r->w, r->c, web_request_text(r, "provider"), &asked.provider);

	if (!err)
		err = web_gate_scope(r, asked.client, asked.provider->name);
	if (!err)
		err = custody_dispense(r->w, r->c, &asked);
	if (err)
		return err;
	etag = work_printf(r->w, "\"%" PRId64 "\"", asked.served.generation);
	return asked.access ? give(r, &asked, etag) : web_reply_empty(r, 304, "ETag", etag);
}
