/* Walks a JSON text along one path. It relies on what jansson has accepted, and decides nothing
 * about it. */
#include "oauth/locate.h"

#include "base/text.h"

#include <jansson.h>
#include <string.h>

struct walk {
	const char *at, *end;
	const char *found; /* where the deepest part of the path seen so far begins */
};

static void skip_space(struct walk *w)
{
	while (w->at < w->end && strchr(" \t\r\n", *w->at))
		w->at++;
}

/* Over a text, from its first quote to behind its last. */
static void skip_text(struct walk *w)
{
	for (w->at++; w->at < w->end && *w->at != '"'; w->at++)
		if (*w->at == '\\' && w->at + 1 < w->end)
			w->at++;
	if (w->at < w->end)
		w->at++;
}

/* Over a value and whatever is in it, without recursion. */
static void skip_value(struct walk *w)
{
	size_t depth = 0;

	do {
		skip_space(w);
		if (w->at == w->end)
			return;
		if (*w->at == '"')
			skip_text(w);
		else if (*w->at == '{' || *w->at == '[') {
			depth++;
			w->at++;
		} else if (*w->at == '}' || *w->at == ']') {
			depth--;
			w->at++;
		} else if (*w->at == ',' || *w->at == ':')
			w->at++;
		else
			while (w->at < w->end && !strchr(" \t\r\n,:]}", *w->at))
				w->at++;
	} while (depth);
}

/* Whether a name, quotes and escapes as in the text, is the first part of a path. Returns what
 * follows it there, or NULL. */
static const char *after_name(const char *name, size_t n, const char *path)
{
	json_t *value = json_loadb(name, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	size_t length = json_string_length(value);
	const char *rest = NULL;

	if (value && strlen(json_string_value(value)) == length &&
		text_starts(path, json_string_value(value)) &&
		(!path[length] || path[length] == '.' || path[length] == '['))
		rest = path + length;
	json_decref(value);
	return rest;
}

/* Whether "[i]" is the first part of a path. Returns what follows it there, or NULL. */
static const char *after_index(size_t i, const char *path)
{
	size_t wanted = 0, n = 1;

	if (*path != '[')
		return NULL;
	for (; path[n] >= '0' && path[n] <= '9' && n < 8; n++)
		wanted = wanted * 10 + (size_t)(path[n] - '0');
	return path[n] == ']' && wanted == i ? path + n + 1 : NULL;
}

static void find_in(struct walk *w, const char *path);

/* Over the value of a part of the path (rest: what follows there) or, NULL, of another. */
static void enter(struct walk *w, const char *part, const char *rest)
{
	if (!rest) {
		skip_value(w);
		return;
	}
	w->found = part;
	find_in(w, *rest == '.' ? rest + 1 : rest);
}

/* Over a value, noting where the path, which begins in it, leads to. */
static void find_in(struct walk *w, const char *path)
{
	char open;

	skip_space(w);
	if (!*path || w->at == w->end || (*w->at != '{' && *w->at != '[')) {
		skip_value(w);
		return;
	}
	open = *w->at++;
	for (size_t i = 0;; i++) {
		const char *part, *rest;

		skip_space(w);
		if (w->at < w->end && *w->at == ',')
			w->at++;
		skip_space(w);
		if (w->at == w->end || *w->at == '}' || *w->at == ']')
			break;
		part = w->at;
		if (open == '{') {
			skip_text(w);
			rest = after_name(part, (size_t)(w->at - part), path);
			skip_space(w);
			w->at++;
		} else
			rest = after_index(i, path);
		enter(w, part, rest);
	}
	w->at += w->at < w->end;
}

struct oauth_spot oauth_locate(const char *text, size_t n, const char *path)
{
	struct walk w = {.at = text, .end = text + n};
	struct oauth_spot place = {1, 1};

	skip_space(&w);
	w.found = w.at;
	find_in(&w, path);
	for (const char *at = text; at < w.found; at++) {
		if (*at == '\n')
			place = (struct oauth_spot){place.line + 1, 0};
		place.column += ((unsigned char)*at & 0xc0) != 0x80;
	}
	return place;
}
