/* Where in a JSON text a member stands: jansson keeps no lines of what it has read. */
#ifndef VESTAL_OAUTH_LOCATE_H
#define VESTAL_OAUTH_LOCATE_H

#include <stddef.h>

struct oauth_spot {
	int line, column; /* from 1, columns in characters; 0: not known */
};

/*
 * The place of a member in a text that jansson could read, by the path that faults call it
 * ("probe.url", "verdicts[3].at"): where its name begins, or the element. What is not there is
 * where the deepest of its parents is. Of a name that is there twice the last counts, as in
 * jansson.
 */
struct oauth_spot oauth_locate(const char *text, size_t n, const char *path);

#endif
