/* Reading JSON goes through jansson; this is what has to be said to it once per process. */
#ifndef VESTAL_BASE_JIN_H
#define VESTAL_BASE_JIN_H

#include "base/work.h"

#include <jansson.h>

/* Gives jansson allocators that wipe what they free. Once, before the first JSON text is read. */
void jin_init(void);

/*
 * Reads one JSON text of n bytes: strict, no repeated members, at most 16 deep.
 * Returns NULL when it is none. Owns: the work.
 */
json_t *jin_parse(struct work *w, const char *text, size_t n);

/*
 * The same for an object. When a member is there twice, *repeated is its name, else NULL.
 * Owns: the work.
 */
json_t *jin_parse_object(struct work *w, const char *text, size_t n, const char **repeated);

#endif
