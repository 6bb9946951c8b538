/* jansson's door for texts from outside. It decides how strictly they are read. */
#include "base/jin.h"

#include "base/text.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 16

static void wiping_free(void *p)
{
	if (p)
		OPENSSL_cleanse(p, malloc_usable_size(p));
	free(p);
}

void jin_init(void)
{
	json_set_alloc_funcs(malloc, wiping_free);
}

static void release(void *handle)
{
	json_decref(handle);
}

/* jansson's own limit of depth is far above ours, and cannot be set. */
static int too_deep(const char *text, size_t n)
{
	int depth = 0, in_string = 0;

	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = 0;
		} else if (c == '"')
			in_string = 1;
		else if (c == '{' || c == '[')
			depth++;
		else if (c == '}' || c == ']')
			depth--;
		if (depth > DEPTH_MAX)
			return 1;
	}
	return 0;
}

static json_t *parse(struct work *w, const char *text, size_t n, json_error_t *error)
{
	json_t *json;

	memset(error, 0, sizeof(*error));
	if (too_deep(text, n))
		return NULL;
	json = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, error);
	if (json)
		work_defer(w, release, json);
	return json;
}

json_t *jin_parse(struct work *w, const char *text, size_t n)
{
	json_error_t error;

	return parse(w, text, n, &error);
}

/* jansson tells the member only as the last token it read: ... near '"name"'. */
static const char *repeated_name(struct work *w, const json_error_t *error)
{
	const char *start = strchr(error->text, '"');
	const char *end = start ? strchr(start + 1, '"') : NULL;
	char *name;

	if (json_error_code(error) != json_error_duplicate_key)
		return NULL;
	name = end ? arena_strndup(&w->arena, start + 1, (size_t)(end - start) - 1) : NULL;
	return name && !text_has_control(name) ? name : "body";
}

json_t *jin_parse_object(struct work *w, const char *text, size_t n, const char **repeated)
{
	json_error_t error;
	json_t *json = parse(w, text, n, &error);

	*repeated = json ? NULL : repeated_name(w, &error);
	return json_is_object(json) ? json : NULL;
}
