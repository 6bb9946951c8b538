/* Why a connection gives no new token now, in words for whoever asked: a person's turn, or a matter
 * of time. */
#ifndef VESTAL_CUSTODY_REFUSAL_H
#define VESTAL_CUSTODY_REFUSAL_H

#include "custody/custody.h"
#include "store/renewal.h"

struct custody_refusal {
	int64_t connection_id;
	int was_busy;    /* it could not be tried, for want of a place or of the lease */
	int64_t quota_s; /* until the provider's quota has room; 0: that was not the reason */
	/* answered */
	struct store_look look;
	const char *status, *cause; /* of its report */
	int needs_person;
	unsigned retry_after_s; /* 1 to 600, when it is a matter of time */
	const char *what;       /* a sentence: what it waits for */
};

/* Returns: ERR_CONNECTION_UNKNOWN and the database's errors. */
enum err custody_refusal_read(
	struct work *w, const struct custody *c, struct custody_refusal *refusal) MUST_CHECK;

/* Returns ERR_REAUTHORIZATION_REQUIRED, with its detail. */
enum err custody_refusal_of_person(struct work *w, const struct custody_refusal *refusal);

#endif
