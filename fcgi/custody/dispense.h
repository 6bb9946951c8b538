/* Handing a live access token to a service. */
#ifndef VESTAL_CUSTODY_DISPENSE_H
#define VESTAL_CUSTODY_DISPENSE_H

#include "custody/caller.h"
#include "custody/place.h"
#include "store/token.h"

#define CUSTODY_MIN_TTL_S 60

struct custody_dispense {
	struct custody_caller *caller; /* confirmed by the read, if it was assumed */
	const char *client;
	const struct oauth_provider *provider;
	const char *known; /* generations the caller has, as store_read takes them */
	int64_t min_ttl_s; /* -1: not asked for */
	const struct custody_places *places; /* NULL: this pool renews nothing */
	int as_it_is; /* whatever is there is given out, and nothing renewed */
	/* answered */
	struct store_served served;
	struct secret *access;  /* NULL when the caller has this generation already */
	const char *api_domain; /* or NULL */
};

/*
 * Gives the token out; the audit event is durable before. One that lives shorter than it should is
 * renewed first, if that may be tried now. What is there afterwards, whatever came of it, is given
 * out as degraded while it lives, unless min_ttl_s was asked for. Returns: ERR_RENEWAL_NEEDED when
 * another pool has to renew it, and nothing was given or noted; ERR_CLIENT_UNKNOWN,
 * ERR_CONNECTION_UNKNOWN, ERR_INPUT (min_ttl beyond what the provider grants),
 * ERR_REAUTHORIZATION_REQUIRED, ERR_TOKEN_UNAVAILABLE, ERR_SEALED, ERR_UNAUTHENTICATED (the caller
 * was assumed, and is nobody any more).
 */
enum err custody_dispense(
	struct work *w, const struct custody *c, struct custody_dispense *asked) MUST_CHECK;

#endif
