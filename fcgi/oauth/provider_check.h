/* Whether the keys of a definition, each good by itself, make sense together. */
#ifndef VESTAL_OAUTH_PROVIDER_CHECK_H
#define VESTAL_OAUTH_PROVIDER_CHECK_H

#include "oauth/provider.h"

/*
 * Adds to faults what is wrong in a definition that was read without a fault, and settles
 * default_datacenter. refresh_period_s: how often the refresher runs.
 */
void oauth_provider_check(struct arena *arena, int64_t refresh_period_s,
	struct oauth_faults *faults, struct oauth_provider *provider);

#endif
