/*
 * A token on its way into custody, as text and back: everything custody_accept() needs when nothing
 * else is left of it. Whoever keeps the text seals it.
 */
#ifndef VESTAL_CUSTODY_PARCEL_H
#define VESTAL_CUSTODY_PARCEL_H

#include "custody/accept.h"

#define CUSTODY_PARCEL_MAX_BYTES ((size_t)56 * 1024)

/* What is read back. acceptance.token points at token; acceptance.provider is left to the reader.
 */
struct custody_parcel {
	struct custody_acceptance acceptance;
	struct oauth_token token;
	const char *provider, *actor; /* whose acceptance it is; actor may be NULL */
};

/* Returns: ERR_TOO_LARGE, ERR_NO_MEMORY when the secure heap is full. Owns: the work. */
enum err custody_parcel_write(struct work *w, const struct custody_acceptance *acceptance,
	struct secret **text) MUST_CHECK;

/* asked_ms is `age_s` ago then. Returns: ERR_SEALED when it is none, ERR_NO_MEMORY. Owns: the work.
 */
enum err custody_parcel_read(struct work *w, const struct secret *text, int64_t age_s,
	struct custody_parcel *parcel) MUST_CHECK;

/* How long ago the provider was asked, by this host's clock, which may have been set since: never
 * less than 0. */
int64_t custody_parcel_age_s(struct work *w, const struct secret *text);

#endif
