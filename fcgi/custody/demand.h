/* A renewal that a request asks for: in a place of its pool, or after that of somebody else. */
#ifndef VESTAL_CUSTODY_DEMAND_H
#define VESTAL_CUSTODY_DEMAND_H

#include "custody/place.h"
#include "custody/renew.h"

struct custody_demand {
	int64_t connection_id, generation; /* the token that is there and shall be renewed */
	const char *client, *provider;
	enum custody_why why;
	const struct custody_places *places;
	int is_needed; /* without a new token there is nothing to answer with */
	/* answered */
	struct custody_renewal renewal; /* CUSTODY_BUSY also: no place was free */
};

/*
 * Renews the token, or waits until whoever renews it is done. What is there afterwards the caller
 * has to look up. Returns what custody_renew_one() does, and the database's errors.
 */
enum err custody_demand(
	struct work *w, const struct custody *c, struct custody_demand *demand) MUST_CHECK;

#endif
