/*
 * A request's path, query and body. Input: a method, a space, the address, a line break, an Accept
 * header, a line break, the body. Whatever comes, it is read or refused, and what is answered is
 * JSON or a page with a head of its own.
 */
#include "fuzz.h"

#include "base/jin.h"
#include "base/text.h"
#include "web/reply.h"
#include "web/route.h"

#include <string.h>

#define ANSWER_MAX_BYTES ((size_t)2 * 1024 * 1024)

static char answer[ANSWER_MAX_BYTES];
static size_t length;

int web_accept_write(const void *bytes, size_t n)
{
	FUZZ_MUST(n < ANSWER_MAX_BYTES - length);
	memcpy(answer + length, bytes, n);
	length += n;
	answer[length] = '\0';
	return 1;
}

static char *part(struct work *w, const uint8_t **data, size_t *n, char end)
{
	const uint8_t *found = memchr(*data, end, *n);
	size_t part_n = found ? (size_t)(found - *data) : *n;
	/* a parameter of FastCGI ends at its first NUL */
	char *text = arena_strndup(&w->arena, (const char *)*data, part_n);

	*data += part_n + (found != NULL);
	*n -= part_n + (found != NULL);
	return text;
}

/* What a field holds after it was read is what its type promises. */
static void check_value(const struct web_field *field, const struct web_value *value)
{
	FUZZ_MUST(!field->required || value->text || value->list);
	FUZZ_MUST(!value->text || !text_has_control(value->text));
	for (size_t i = 0; i < value->count; i++)
		FUZZ_MUST(!text_has_control(value->list[i]));
	if (value->text && field->type == WEB_TYPE_CLIENT)
		FUZZ_MUST(text_is_client_id(value->text));
	if (value->text && field->type == WEB_TYPE_PROVIDER)
		FUZZ_MUST(text_is_name(value->text));
	if (value->text && field->type == WEB_TYPE_INT)
		FUZZ_MUST(value->number >= field->least && value->number <= field->most);
}

static void check_refusal(struct web_request *r, enum err err, const char *allow)
{
	const char *body;

	length = 0;
	web_reply_error(r, err, allow);
	body = strstr(answer, "\r\n\r\n");
	FUZZ_MUST(body && strncmp(answer, "Status: ", 8) == 0);
	body += 4;
	if (r->head)
		FUZZ_MUST(!*body);
	else if (web_request_wants_page(r))
		FUZZ_MUST(strstr(body, "</html>\n") && !strstr(body, "<script"));
	else
		FUZZ_MUST(json_is_object(jin_parse(r->w, body, strlen(body))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct custody c = {.providers = fuzz_start()};
	struct work w;
	struct web_request r = {.w = &w, .c = &c};
	const char *allow = NULL;
	enum err err;

	work_begin(&w, 60000);
	r.raw.method = part(&w, &data, &n, ' ');
	r.raw.uri = part(&w, &data, &n, '\n');
	r.raw.accept = part(&w, &data, &n, '\n');
	r.raw.content_type = "application/json";
	r.raw.body_too_large = n > WEB_BODY_MAX_BYTES;
	r.raw.body_bytes = r.raw.body_too_large ? 0 : n;
	r.raw.body = arena_strndup(&w.arena, (const char *)data, r.raw.body_bytes);
	err = web_request_begin(&r);
	if (!err)
		err = web_route_match(&r, &allow);
	if (!err)
		err = web_request_read_fields(&r);
	for (size_t i = 0; !err && r.route->fields[i].name; i++)
		check_value(&r.route->fields[i], &r.values[i]);
	if (err)
		check_refusal(&r, err, allow);
	work_end(&w);
	return 0;
}
