/*
 * The check: every connection of a scope is proved by asking its provider, and what is found is
 * written, told and, where a token is dead, mended. The refresher does it daily for all; a person
 * whenever he wants to know.
 */
#ifndef VESTAL_CUSTODY_CHECK_H
#define VESTAL_CUSTODY_CHECK_H

#include "custody/place.h"
#include "custody/proof.h"
#include "store/check.h"

#include <signal.h>

/* A connection that was checked. Texts live as long as the call that hands it over. */
struct custody_finding {
	int64_t connection_id, generation; /* the token's now */
	const char *client, *provider;
	int would_ask; /* of a check that asks nobody: there is something to ask */
	enum custody_found found;
	const char *code;                            /* a closed word; "" when all is well */
	const char *status, *cause, *action, *owner; /* of its report, from now on */
	int has_changed;                             /* status or cause */
};

typedef void custody_finding_fn(void *context, const struct custody_finding *finding);

struct custody_check {
	struct store_scope scope;
	size_t concurrency, most;          /* probes at once; connections at most */
	int64_t deadline_ms;               /* on the monotonic clock: no probe begins after it */
	const volatile sig_atomic_t *stop; /* the same as soon as it is not 0; or NULL */
	int is_dry;                        /* nobody is asked, and nothing written */
	custody_finding_fn *each;          /* called for every connection, as it ends; or NULL */
	void *context;
	/* answered */
	int64_t total;                      /* of the scope */
	int64_t *ids;                       /* those that were checked. Owns: the work */
	size_t checked, unhealthy, changed; /* total - checked: there was no time for them */
	size_t counts[CUSTODY_FOUND_COUNT];
};

/*
 * Checks those first that no check came by for longest. Unhealthy ones open an incident, unless it
 * is their app's or their provider's as a whole, and those never connected; healthy ones resolve
 * theirs. Writes one audit event, and one for each connection that is judged anew. Returns the
 * database's errors, ERR_BUG; what was found until then is written.
 */
enum err custody_check(
	struct work *w, const struct custody *c, struct custody_check *check) MUST_CHECK;

/* What a request may ask for at once, and how long: it has to be answered in time. */
#define CUSTODY_CHECK_AT_ONCE 8
#define CUSTODY_CHECK_MOST 10000
#define CUSTODY_CHECK_ALL STORE_CHECK_FIND_MAX /* whoever need not be in time */

/*
 * The same for whoever waits for the answer: within the time that is left, in a place of its pool.
 * Sets concurrency, most and deadline. Returns: as above, ERR_BUSY (with the time to come back).
 */
enum err custody_check_now(struct work *w, const struct custody *c,
	const struct custody_places *places, struct custody_check *check) MUST_CHECK;

#endif
