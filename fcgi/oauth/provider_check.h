/* Whether the keys of a definition, each good by itself, make sense together. */
#ifndef VESTAL_OAUTH_PROVIDER_CHECK_H
#define VESTAL_OAUTH_PROVIDER_CHECK_H

#include "oauth/provider.h"

/*
 * Adds to faults what is wrong in a definition that was read, and settles default_datacenter. What
 * depends on a member that could not be read is left alone: faults from place first on are those of
 * its reading. refresh_period_s: how often the refresher runs.
 */
void oauth_provider_check(struct arena *arena, int64_t refresh_period_s,
	struct oauth_faults *faults, size_t first, struct oauth_provider *provider);

#endif
