/* A request as nginx hands it over. */
#include "ask.h"

#include "base/text.h"

#include <string.h>

struct web_request ask(struct service *s, const char *method, const char *uri)
{
	struct web_request r = {.w = &s->w, .c = &s->c};

	work_forgive(&s->w);
	fake_accept_begin();
	r.raw.method = method;
	r.raw.uri = uri;
	r.raw.address = "192.0.2.1";
	r.raw.body = "";
	return r;
}

struct web_request ask_with(
	struct service *s, const char *method, const char *uri, const char *body)
{
	struct web_request r = ask(s, method, uri);

	r.raw.content_type = "application/json";
	r.raw.body = body;
	r.raw.body_bytes = strlen(body);
	return r;
}

enum err ask_match(struct web_request *r, const char **allow)
{
	enum err err = web_request_begin(r);

	*allow = NULL;
	return err ? err : web_route_match(r, allow);
}

enum err ask_read(struct web_request *r)
{
	const char *allow;

	if (ask_match(r, &allow))
		fail_msg("%s %s has no route", r->raw.method, r->raw.uri);
	return web_request_read_fields(r);
}

int ask_faults(const struct web_request *r, const char *field, const char *reason)
{
	for (size_t i = 0; i < r->w->fault_count; i++)
		if (text_equal(r->w->faults[i].field, field) &&
			strstr(r->w->faults[i].reason, reason))
			return 1;
	return 0;
}
