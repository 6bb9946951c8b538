/* GET /api/oauth/token/:clientId: a live access token for a service. */
#include "base/text.h"
#include "custody/dispense.h"
#include "web/gate.h"
#include "web/handle.h"
#include "web/reply.h"

#include <inttypes.h>
#include <string.h>

#define KNOWN_MAX_BYTES 4096

/* The generation a tag names; 0 for one that is none of ours. A weak tag counts as a strong one. */
static int64_t read_tag(struct work *w, const char *at, size_t n)
{
	int64_t generation = 0;

	if (n > 2 && text_starts(at, "W/")) {
		at += 2;
		n -= 2;
	}
	while (n && strchr(" \t", at[n - 1]))
		n--;
	if (n < 3 || at[0] != '"' || at[n - 1] != '"' || at[1] == '0')
		return 0;
	return text_to_int(arena_strndup(&w->arena, at + 1, n - 2), 1, INT64_MAX, &generation)
		       ? generation
		       : 0;
}

/* The generations an If-None-Match names, as a PostgreSQL array. Source: RFC 9110 sections 8.8.3
 * and 13.1.2. */
static const char *known_generations(struct work *w, const char *header)
{
	const char *at = header ? header : "";
	struct buf known;

	buf_init(&known, w, KNOWN_MAX_BYTES);
	while (*at) {
		size_t n = strcspn(at, ",");
		int64_t generation = read_tag(w, at, n);

		if (generation)
			buf_printf(&known, "%s%" PRId64, known.len ? "," : "", generation);
		at += n + (at[n] == ',');
		at += strspn(at, " \t");
	}
	return work_printf(w, "{%s}", known.data);
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
		.caller = &r->caller,
		.client = web_request_text(r, "clientId"),
		.known = known_generations(r->w, r->raw.if_none_match),
		.min_ttl_s = min_ttl->text ? min_ttl->number : -1,
		.places = r->places,
		.as_it_is = r->raw.as_it_is,
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
