/* Reads the body of an answer, whatever it is, into one JSON value. */
#ifndef VESTAL_OAUTH_ANSWER_H
#define VESTAL_OAUTH_ANSWER_H

#include "oauth/http.h"

#include <jansson.h>

#define OAUTH_ANSWER_DEPTH_MAX 16

/*
 * JSON by its content, whatever the content type says; form-encoded (GitHub's default) when the
 * content type says so, as an object of strings. Returns NULL for anything else: empty, HTML,
 * nested deeper than 16, repeated names, not UTF-8, NUL escapes. Owns: the work.
 */
json_t *oauth_answer_parse(struct work *w, const struct oauth_http_answer *answer);

#endif
