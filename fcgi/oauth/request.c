/* The common part of requests. It decides the headers, and binds each request to the origin it was
 * made for. */
#include "oauth/request.h"

#include <strings.h>

/* English, because some providers translate the words that an answer is judged by. Source: Zoho's
 * throttle text. */
static const struct oauth_pair always[] = {
	{"Accept", "application/json"}, {"Accept-Language", "en"},
	{"User-Agent", "Vestal"}, /* some refuse whoever has none. Source: GitHub's REST API */
};

#define ALWAYS_COUNT (sizeof(always) / sizeof(always[0]))

static int has_name(const struct oauth_pair *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(list[i].name, name) == 0)
			return 1;
	return 0;
}

static void set_headers(struct work *w, struct oauth_pairs own, struct oauth_http_request *request)
{
	struct oauth_pair *list = work_alloc(w, (own.count + ALWAYS_COUNT) * sizeof(*list));
	size_t n = 0;

	for (size_t i = 0; i < own.count; i++)
		list[n++] = own.items[i];
	for (size_t i = 0; i < ALWAYS_COUNT; i++)
		if (!has_name(own.items, own.count, always[i].name))
			list[n++] = always[i];
	request->headers = (struct oauth_pairs){list, n};
}

enum err oauth_request_begin(struct work *w, const struct oauth_target *target,
	enum oauth_method method, const char *template, int with_definition,
	struct oauth_http_request *request)
{
	char *url, *origin;
	enum err err = oauth_provider_url(w, target, template, &url);

	if (!err)
		err = oauth_provider_origin(w, target, template, &origin);
	if (err)
		return err;
	*request = (struct oauth_http_request){
		.method = method,
		.url = url,
		.origin = origin,
		.allow_loopback = target->provider->allow_loopback_http,
	};
	set_headers(
		w, with_definition ? target->provider->headers : (struct oauth_pairs){0}, request);
	return ERR_OK;
}
