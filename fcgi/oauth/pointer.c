/* JSON pointers. They decide where to look; what is found there means nothing here. */
#include "oauth/pointer.h"

#include <stdint.h>
#include <string.h>

#define TOKEN_MAX_BYTES 128

int oauth_pointer_is_valid(const char *pointer)
{
	size_t token = 0;

	if (pointer[0] != '/')
		return 0;
	for (const char *c = pointer; *c; c++) {
		if (*c == '~' && c[1] != '0' && c[1] != '1')
			return 0;
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return 0;
		token = *c == '/' ? 0 : token + 1;
		if (token > TOKEN_MAX_BYTES)
			return 0;
	}
	return 1;
}

/* Reads the reference token after a slash, escapes undone. Returns where the next slash or the end
 * is. */
static const char *next_token(const char *at, char token[TOKEN_MAX_BYTES + 1])
{
	size_t n = 0;

	for (; *at && *at != '/' && n < TOKEN_MAX_BYTES; at++) {
		if (*at == '~')
			token[n++] = *++at == '1' ? '/' : '~';
		else
			token[n++] = *at;
	}
	token[n] = '\0';
	return at;
}

static json_t *element(const json_t *array, const char *token)
{
	size_t digits = strspn(token, "0123456789"), index = 0;

	if (!digits || digits > 6 || token[digits] || (token[0] == '0' && digits > 1))
		return NULL;
	for (const char *c = token; *c; c++)
		index = index * 10 + (size_t)(*c - '0');
	return json_array_get(array, index);
}

json_t *oauth_pointer_get(const json_t *document, const char *pointer)
{
	char token[TOKEN_MAX_BYTES + 1];
	const json_t *at = document;

	while (at && *pointer == '/') {
		pointer = next_token(pointer + 1, token);
		if (json_is_object(at))
			at = json_object_get(at, token);
		else
			at = json_is_array(at) ? element(at, token) : NULL;
	}
	return (json_t *)(uintptr_t)at;
}

const char *oauth_pointer_text(const json_t *document, const char *pointer)
{
	const char *text = json_string_value(oauth_pointer_get(document, pointer));

	return text && *text ? text : NULL;
}
