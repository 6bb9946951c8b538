/* One request, read: path, query and body as declared, validated fields. */
#ifndef VESTAL_WEB_REQUEST_H
#define VESTAL_WEB_REQUEST_H

#include "custody/caller.h"
#include "custody/place.h"
#include "web/accept.h"

#include <jansson.h>

#define WEB_FIELDS_MAX 16

/* What a field may hold. */
enum web_type {
	WEB_TYPE_CLIENT, /* a client id */
	WEB_TYPE_PROVIDER,
	WEB_TYPE_TEXT,  /* 1 to `most` bytes, no control characters */
	WEB_TYPE_INT,   /* `least` to `most` */
	WEB_TYPE_BOOL,  /* of a body */
	WEB_TYPE_WORDS, /* a comma separated list in a query */
	WEB_TYPE_NAMES, /* an array of texts in a body */
};

enum web_place { WEB_IN_PATH, WEB_IN_QUERY, WEB_IN_BODY };

struct web_field {
	const char *name;
	enum web_type type;
	enum web_place place;
	int required;
	int64_t least, most;
};

struct web_value {
	const char *text;        /* NULL: absent */
	int64_t number;          /* of an INT; of a BOOL 0 or 1 */
	const char *const *list; /* of WORDS and NAMES */
	size_t count;
};

struct web_route;

struct web_request {
	struct work *w;
	const struct custody *c;
	const struct custody_places *places; /* of the pool that renews; NULL: another pool */
	struct web_raw raw;
	const struct web_route *route;
	const char *path;        /* as it came, without the query */
	const char *query;       /* "" when there is none */
	const char *segments[8]; /* values of the pattern's :names, decoded */
	struct web_value values[WEB_FIELDS_MAX];
	struct custody_caller caller;
	int64_t began_ms;
	int status; /* of the answer, once it is sent */
	int head;   /* HEAD: headers only */
};

/* Takes the raw request apart; the route is not known yet. Returns: ERR_INPUT. */
enum err web_request_begin(struct web_request *r) MUST_CHECK;

/*
 * Reads the route's declared fields out of path, query and body. Every fault is recorded with its
 * field. Returns: ERR_TOO_LARGE, ERR_MEDIA_TYPE, ERR_INPUT.
 */
enum err web_request_read_fields(struct web_request *r) MUST_CHECK;

/* A declared field's value; its text is NULL when it is absent. */
const struct web_value *web_request_value(const struct web_request *r, const char *name);
const char *web_request_text(const struct web_request *r, const char *name);

/* A query parameter by its name, declared or not: for the callback alone (RFC 6749 section 4.1.2).
 * NULL: absent. */
const char *web_request_query_param(const struct web_request *r, const char *name);

/* Whether the caller would rather have a page than JSON; and whether he asks for JSON by its name.
 */
int web_request_wants_page(const struct web_request *r);
int web_request_names_json(const struct web_request *r);

#endif
