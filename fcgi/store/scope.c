/* A caller's scope as the statements take it. */
#include "store/scope.h"

#include "base/buf.h"
#include "base/jin.h"
#include "base/text.h"

#include <string.h>

#define ARRAY_MAX_BYTES ((size_t)1024 * 1024)

static int holds(const char *const *words, size_t n, const char *word)
{
	for (size_t i = 0; words && i < n; i++)
		if (strcmp(words[i], word) == 0)
			return 1;
	return !words;
}

int store_scope_holds(const struct store_scope *scope, const char *client, const char *provider)
{
	return holds(scope->clients, scope->client_count, client) &&
	       (!provider || holds(scope->providers, scope->provider_count, provider));
}

const char *store_scope_array(struct work *w, const char *const *words, size_t n)
{
	struct buf buf;

	if (!words)
		return NULL;
	buf_init(&buf, w, ARRAY_MAX_BYTES);
	buf_char(&buf, '{');
	for (size_t i = 0; i < n; i++) {
		buf_text(&buf, i ? ",\"" : "\"");
		for (const char *c = words[i]; *c; c++) {
			if (*c == '"' || *c == '\\')
				buf_char(&buf, '\\');
			buf_char(&buf, *c);
		}
		buf_char(&buf, '"');
	}
	buf_char(&buf, '}');
	return buf.data;
}

enum err store_scope_words(struct work *w, const char *json, const char *const **words, size_t *n)
{
	json_t *array = json ? jin_parse(w, json, strlen(json)) : NULL;
	const char **list;

	*words = NULL;
	*n = 0;
	if (!json)
		return ERR_OK;
	if (!json_is_array(array))
		return work_cause(w, ERR_DB, "not a JSON array");
	list = work_alloc(w, (json_array_size(array) + 1) * sizeof(*list));
	for (size_t i = 0; i < json_array_size(array); i++) {
		list[i] = json_string_value(json_array_get(array, i));
		if (!list[i])
			return work_cause(w, ERR_DB, "not an array of texts");
	}
	*words = list;
	*n = json_array_size(array);
	return ERR_OK;
}
