/* Bodies as JSON values. It decides what can be read at all, not what it means. */
#include "oauth/answer.h"

#include "base/jin.h"
#include "base/text.h"

#include <string.h>

#define FORM_FIELDS_MAX 64

static void release(void *handle)
{
	json_decref(handle);
}

/* Adds "name=value" of n bytes; a repeated name or a bad escape makes the whole form unreadable. */
static int add_field(struct work *w, json_t *form, const char *field, size_t n)
{
	const char *equals = memchr(field, '=', n);
	size_t name_len = equals ? (size_t)(equals - field) : n;
	size_t value_len = equals ? n - name_len - 1 : 0;
	char *name = text_form_decode(w, field, name_len);
	char *value = text_form_decode(w, equals ? equals + 1 : "", value_len);

	if (!name || !value || !*name || json_object_get(form, name))
		return 0;
	return json_object_set_new(form, name, json_string(value)) == 0;
}

static json_t *parse_form(struct work *w, const char *text)
{
	json_t *form = json_object();
	size_t fields = 0;

	if (!form)
		return NULL;
	work_defer(w, release, form);
	while (*text) {
		size_t n = strcspn(text, "&");

		if (n && (++fields > FORM_FIELDS_MAX || !add_field(w, form, text, n)))
			return NULL;
		text += n;
		text += *text == '&';
	}
	return fields ? form : NULL;
}

json_t *oauth_answer_parse(struct work *w, const struct oauth_http_answer *answer)
{
	const struct buf *body = &answer->body;

	/* jansson passes over some NULs, and what a text means must not depend on where it is cut
	 */
	if (answer->transport != OAUTH_TRANSPORT_OK || !body->len ||
		memchr(body->data, '\0', body->len))
		return NULL;
	if (text_equal(answer->content_type, "application/x-www-form-urlencoded"))
		return parse_form(w, body->data);
	return jin_parse(w, body->data, body->len);
}
