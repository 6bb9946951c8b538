/*
 * Reading a request against its declaration. It decides what is refused, and with which field
 * named; that the caller may ask at all was decided before.
 */
#include "web/request.h"

#include "base/jin.h"
#include "base/text.h"
#include "web/route.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define PARAMS_MAX 64

enum err web_request_begin(struct web_request *r)
{
	const char *uri = r->raw.uri ? r->raw.uri : "/";
	size_t n = strcspn(uri, "?");

	r->path = arena_strndup(&r->w->arena, uri, n);
	r->query = uri[n] ? uri + n + 1 : "";
	if (!r->raw.method)
		return work_fail(r->w, ERR_INPUT, "The request has no method.");
	r->head = strcmp(r->raw.method, "HEAD") == 0;
	return ERR_OK;
}

static const struct web_field *declared(
	const struct web_request *r, const char *name, enum web_place place, size_t *index)
{
	const struct web_field *fields = r->route->fields;

	for (*index = 0; fields[*index].name; ++*index)
		if (fields[*index].place == place && strcmp(fields[*index].name, name) == 0)
			return &fields[*index];
	return NULL;
}

const struct web_value *web_request_value(const struct web_request *r, const char *name)
{
	static const struct web_value absent;

	for (size_t i = 0; r->route->fields[i].name; i++)
		if (strcmp(r->route->fields[i].name, name) == 0)
			return &r->values[i];
	return &absent;
}

const char *web_request_text(const struct web_request *r, const char *name)
{
	return web_request_value(r, name)->text;
}

/* --- one value -------------------------------------------------------------------------------- */

static enum err fault(struct web_request *r, const struct web_field *field, const char *reason)
{
	return work_fail_field(r->w, field->name, "%s", reason);
}

static enum err take_words(
	struct web_request *r, const struct web_field *field, struct web_value *value)
{
	char *text = work_strdup(r->w, value->text), *rest = text, *word;
	const char **list = work_alloc(r->w, (strlen(text) / 2 + 2) * sizeof(*list));

	while ((word = strsep(&rest, ","))) {
		if (!text_is_name(word))
			return fault(r, field, "is not a comma separated list of words");
		list[value->count++] = word;
	}
	value->list = list;
	return ERR_OK;
}

static enum err take(
	struct web_request *r, const struct web_field *field, size_t index, const char *text)
{
	struct web_value *value = &r->values[index];

	if (value->text || value->list)
		return fault(r, field, "is there more than once");
	value->text = text;
	if (text_has_control(text))
		return fault(r, field, "holds a control character or is not UTF-8");
	switch (field->type) {
	case WEB_TYPE_CLIENT:
		return text_is_client_id(text) ? ERR_OK : fault(r, field, "is not a client id");
	case WEB_TYPE_PROVIDER:
		if (text_is_name(text) && oauth_provider_find(r->c->providers, text))
			return ERR_OK;
		return fault(r, field, "is not a known provider");
	case WEB_TYPE_TEXT:
		if ((int64_t)strlen(text) >= field->least && (int64_t)strlen(text) <= field->most)
			return ERR_OK;
		return work_fail_field(r->w, field->name, "must have %lld to %lld bytes",
			(long long)field->least, (long long)field->most);
	case WEB_TYPE_INT:
		if (text_to_int(text, field->least, field->most, &value->number))
			return ERR_OK;
		return work_fail_field(r->w, field->name,
			"must be a whole number from %lld to %lld", (long long)field->least,
			(long long)field->most);
	case WEB_TYPE_BOOL:
		value->number = strcmp(text, "true") == 0;
		return ERR_OK;
	case WEB_TYPE_WORDS:
		return take_words(r, field, value);
	case WEB_TYPE_NAMES:
		return fault(r, field, "must be an array of texts");
	}
	return ERR_BUG;
}

/* --- path and query --------------------------------------------------------------------------- */

static enum err read_path(struct web_request *r)
{
	enum err err = ERR_OK;
	size_t segment = 0;

	for (size_t i = 0; r->route->fields[i].name; i++)
		if (r->route->fields[i].place == WEB_IN_PATH &&
			take(r, &r->route->fields[i], i, r->segments[segment++]))
			err = ERR_INPUT;
	return err;
}

struct pair {
	const char *name, *value;
};

/* Takes the query apart; empty pairs are nothing, as a trailing "&" makes one. */
static enum err split_query(
	const struct web_request *r, struct pair pairs[PARAMS_MAX], size_t *count)
{
	const char *at = r->query;

	*count = 0;
	while (*at) {
		size_t n = strcspn(at, "&"), name = strcspn(at, "=");
		int has_value = name < n;

		if (n && *count == PARAMS_MAX)
			return work_fail_field(r->w, "query", "has too many parameters");
		if (n) {
			struct pair pair = {text_form_decode(r->w, at, has_value ? name : n),
				has_value ? text_form_decode(r->w, at + name + 1, n - name - 1)
					  : ""};

			if (!pair.name || !pair.value)
				return work_fail_field(r->w,
					pair.name && !text_has_control(pair.name) ? pair.name
										  : "query",
					"has a bad escape");
			pairs[(*count)++] = pair;
		}
		at += n + (at[n] == '&');
	}
	return ERR_OK;
}

static enum err read_query(struct web_request *r)
{
	struct pair pairs[PARAMS_MAX];
	size_t count, index;
	enum err err = split_query(r, pairs, &count);

	for (size_t i = 0; err == ERR_OK && r->route->any_query && i < count; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(pairs[i].name, pairs[j].name) == 0)
				return work_fail_field(r->w,
					text_has_control(pairs[i].name) ? "query" : pairs[i].name,
					"is there more than once");
	if (err || r->route->any_query)
		return err;
	for (size_t i = 0; i < count; i++) {
		const struct web_field *field = declared(r, pairs[i].name, WEB_IN_QUERY, &index);

		if (field ? take(r, field, index, pairs[i].value)
			  : work_fail_field(r->w,
				    text_has_control(pairs[i].name) ? "query" : pairs[i].name,
				    "is not a parameter of this address"))
			err = ERR_INPUT;
	}
	return err;
}

const char *web_request_query_param(const struct web_request *r, const char *name)
{
	struct pair pairs[PARAMS_MAX];
	size_t count;

	if (split_query(r, pairs, &count))
		return NULL;
	for (size_t i = 0; i < count; i++)
		if (strcmp(pairs[i].name, name) == 0)
			return pairs[i].value;
	return NULL;
}

/* --- body ------------------------------------------------------------------------------------- */

static enum err take_names(struct web_request *r, const struct web_field *field,
	struct web_value *value, const json_t *array)
{
	const char **list;

	if (!json_is_array(array) || (int64_t)json_array_size(array) > field->most)
		return fault(r, field, "must be an array of texts");
	list = work_alloc(r->w, (json_array_size(array) + 1) * sizeof(*list));
	for (size_t i = 0; i < json_array_size(array); i++) {
		list[i] = json_string_value(json_array_get(array, i));
		if (!list[i] || text_has_control(list[i]))
			return work_fail_field(r->w, work_printf(r->w, "%s[%zu]", field->name, i),
				"must be a text");
	}
	value->list = list;
	value->count = json_array_size(array);
	return ERR_OK;
}

static enum err take_member(struct web_request *r, const char *name, const json_t *member)
{
	size_t index;
	const struct web_field *field = declared(r, name, WEB_IN_BODY, &index);

	if (!field)
		return work_fail_field(r->w, text_has_control(name) ? "body" : name,
			"is not a field of this request");
	if (field->type == WEB_TYPE_NAMES)
		return take_names(r, field, &r->values[index], member);
	if (field->type == WEB_TYPE_INT)
		return json_is_integer(member)
			       ? take(r, field, index,
					 work_printf(r->w, "%lld",
						 (long long)json_integer_value(member)))
			       : fault(r, field, "must be a whole number");
	if (field->type == WEB_TYPE_BOOL)
		return json_is_boolean(member)
			       ? take(r, field, index, json_is_true(member) ? "true" : "false")
			       : fault(r, field, "must be true or false");
	return json_is_string(member) ? take(r, field, index, json_string_value(member))
				      : fault(r, field, "must be a text");
}

static int is_json_type(const char *content_type)
{
	static const char json[] = "application/json";

	return content_type && strncasecmp(content_type, json, sizeof(json) - 1) == 0 &&
	       (!content_type[sizeof(json) - 1] || strchr("; \t", content_type[sizeof(json) - 1]));
}

static enum err read_body(struct web_request *r)
{
	const char *repeated = NULL, *name;
	json_t *body, *member;
	enum err err = ERR_OK;

	if (!r->raw.body_bytes)
		return ERR_OK;
	body = jin_parse_object(r->w, r->raw.body, r->raw.body_bytes, &repeated);
	if (!body)
		return repeated ? work_fail_field(r->w, repeated, "is there more than once")
				: work_fail_field(r->w, "body", "is not a JSON object");
	json_object_foreach(body, name, member) if (take_member(r, name, member)) err = ERR_INPUT;
	return err;
}

static enum err check_missing(struct web_request *r)
{
	enum err err = ERR_OK;

	for (size_t i = 0; r->route->fields[i].name; i++)
		if (r->route->fields[i].required && !r->values[i].text && !r->values[i].list)
			err = fault(r, &r->route->fields[i], "is missing");
	return err;
}

static int takes_body(const struct web_request *r)
{
	return strcmp(r->route->method, "GET") != 0;
}

enum err web_request_read_fields(struct web_request *r)
{
	enum err path, query, body = ERR_OK;

	if (r->raw.body_too_large)
		return ERR_TOO_LARGE;
	if (takes_body(r) && r->raw.body_bytes && !is_json_type(r->raw.content_type))
		return ERR_MEDIA_TYPE;
	path = read_path(r);
	query = read_query(r);
	if (takes_body(r))
		body = read_body(r);
	if (path || query || body)
		return ERR_INPUT;
	return check_missing(r);
}

/* --- what the caller would like --------------------------------------------------------------- */

/* A weight in thousandths; what is none weighs nothing. Source: RFC 9110 section 12.4.2. */
static int thousandths(const char *text)
{
	int value = 0, unit = 1000;

	if (*text != '0' && *text != '1')
		return 0;
	value = (*text - '0') * unit;
	for (text += text[1] == '.' ? 2 : 1; isdigit((unsigned char)*text) && unit > 1; text++) {
		unit /= 10;
		value += (*text - '0') * unit;
	}
	if (*text && !strchr(",; \t", *text))
		return 0;
	return value < 1000 ? value : 1000;
}

/* The weight among a media range's n bytes of parameters. */
static int quality(const char *at, size_t n)
{
	for (const char *end = at + n; (at = memchr(at, ';', (size_t)(end - at)));) {
		at++;
		at += strspn(at, " \t");
		if (strncasecmp(at, "q=", 2) == 0)
			return thousandths(at + 2);
	}
	return 1000;
}

/* The weight Accept gives to a type by its own name, in thousandths; -1 when it does not name it.
 */
static int weight(const char *accept, const char *type)
{
	size_t length = strlen(type);

	for (const char *at = accept; at && *at; at += strcspn(at, ","), at += *at == ',') {
		at += strspn(at, " \t");
		if (strcspn(at, ";, \t") == length && strncasecmp(at, type, length) == 0)
			return quality(at, strcspn(at, ","));
	}
	return -1;
}

int web_request_wants_page(const struct web_request *r)
{
	int page = weight(r->raw.accept, "text/html"),
	    json = weight(r->raw.accept, "application/json"), any = weight(r->raw.accept, "*/*");

	return page > 0 && page > (json >= 0 ? json : any);
}

int web_request_names_json(const struct web_request *r)
{
	return weight(r->raw.accept, "application/json") > 0 && !web_request_wants_page(r);
}
