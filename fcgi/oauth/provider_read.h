/* From a definition's JSON to its struct: names, types and ranges, each member by itself. */
#ifndef VESTAL_OAUTH_PROVIDER_READ_H
#define VESTAL_OAUTH_PROVIDER_READ_H

#include "oauth/provider.h"

#include <jansson.h>

/*
 * Fills *provider, defaults included, from an object; what is wrong goes to faults under the file's
 * name. What could not be read is left out: the member keeps its default, a list lacks the item, a
 * rule is one that nothing is wrong with. Owns: the arena; nothing refers to the JSON afterwards.
 */
void oauth_provider_read(struct arena *arena, const char *file, const json_t *root,
	struct oauth_faults *faults, struct oauth_provider *provider);

#endif
