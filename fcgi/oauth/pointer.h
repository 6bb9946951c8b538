/* JSON pointers, for the places where a definition says where in an answer something is. Source:
 * RFC 6901. */
#ifndef VESTAL_OAUTH_POINTER_H
#define VESTAL_OAUTH_POINTER_H

#include <jansson.h>

/* Whether it is a pointer to something inside a document: "/a", "/a/0/b", with ~0 and ~1 as
 * escapes. */
int oauth_pointer_is_valid(const char *pointer);

/* What a valid pointer points to, or NULL. Owns: the document. */
json_t *oauth_pointer_get(const json_t *document, const char *pointer);

/* The text of a string there, or NULL when there is none or it is empty. Owns: the document. */
const char *oauth_pointer_text(const json_t *document, const char *pointer);

#endif
