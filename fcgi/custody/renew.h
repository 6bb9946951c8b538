/*
 * Renewal: the one way a token is renewed, whoever asks for it: the refresher for all that are due,
 * a reader whose token runs out, a service whose token was refused, an administrator.
 *
 * A renewal is: the lease, won by compare-and-set and committed; the intent in a slot of the spool;
 * the provider asked, with no transaction open; the sealed answer in the slot; one commit over the
 * generation it started from; the slot cleared; the other stores brought up to date. What a crash
 * leaves of it is settled by whoever comes next (custody/recover.h).
 */
#ifndef VESTAL_CUSTODY_RENEW_H
#define VESTAL_CUSTODY_RENEW_H

#include "custody/custody.h"
#include "store/renewal.h"

#include <signal.h>

/* Who asks, and so what counts: the schedule, the provider's patience, a share of its quota. */
enum custody_why {
	CUSTODY_WHY_DUE,
	CUSTODY_WHY_ALL,
	CUSTODY_WHY_READ,
	CUSTODY_WHY_REJECTED,
	CUSTODY_WHY_ADMIN,
	CUSTODY_WHY_CHECK
};

/* What became of a connection's renewal. */
enum custody_outcome {
	CUSTODY_RENEWED,
	CUSTODY_DEFERRED,   /* not asked: a gate, a quota, the provider's patience */
	CUSTODY_RETRY,      /* asked in vain; the next try is planned */
	CUSTODY_REFUSED,    /* refused once; it counts when it is confirmed */
	CUSTODY_DEAD,       /* the grant is gone: a person has to authorize again */
	CUSTODY_AMBIGUOUS,  /* the answer was lost, and the refresh token may be spent */
	CUSTODY_APP,        /* the app's credentials are refused */
	CUSTODY_UNREADABLE, /* what is stored does not open */
	CUSTODY_SUPERSEDED, /* something newer came meanwhile, and stays */
	CUSTODY_BUSY,       /* somebody else renews it now */
	CUSTODY_NOT_NEEDED, /* another token than the one that was meant is there already */
	CUSTODY_OUTCOME_COUNT
};

/* "due", "all", "read", "rejected", "admin", "check". */
const char *custody_why_name(enum custody_why why);

/* "renewed", "deferred", "retry", "refused", "dead", "ambiguous", "app", "unreadable",
 * "superseded", "busy", "not_needed". */
const char *custody_outcome_name(enum custody_outcome outcome);

/* Whether a person has to do something before it works again. */
int custody_outcome_needs_person(enum custody_outcome outcome);

struct custody_renewal {
	int64_t connection_id, generation; /* the token's now */
	const char *client, *provider;
	enum custody_outcome outcome;
	const char *cause; /* the connection's, of the contract's list */
	const char *code;  /* what was answered, as a closed word; "" when it was renewed */
	int64_t wait_s;    /* until the next try; -1: none is planned */
	int64_t ms;        /* how long the provider took; 0: it was not asked */
};

/* What a process renews with: its spool, its requests. Made once, where it is needed. */
struct custody_renewer;

/*
 * concurrency: renewals on their way at once. The spool is made with the first renewal, because a
 * worker may never have one. Owns: the caller (custody_renewer_free).
 */
struct custody_renewer *custody_renewer_new(const struct custody *c, size_t concurrency);
void custody_renewer_free(struct custody_renewer *renewer);

/* How many are claimed before there is place for them, at most: so many more are held at once. */
#define CUSTODY_CLAIM_MAX 256
static inline size_t custody_renewer_ahead(size_t concurrency)
{
	return concurrency < CUSTODY_CLAIM_MAX ? concurrency : CUSTODY_CLAIM_MAX;
}

/* Its spool, or NULL while there is none. */
struct vault_spool;
struct vault_spool *custody_renewer_spool(const struct custody_renewer *renewer);

/*
 * Renews one connection now. generation: the token that is meant, 0 for whichever is there.
 * Returns: ERR_CONNECTION_UNKNOWN, ERR_IO (no slot in the spool, so nothing was asked),
 * ERR_KEY_UNKNOWN, ERR_CONFIG and the database's errors; whatever the provider says is ERR_OK with
 * renewal->outcome. Owns: texts live in the work.
 */
enum err custody_renew_one(struct work *w, const struct custody *c, int64_t connection_id,
	enum custody_why why, int64_t generation, struct custody_renewal *renewal) MUST_CHECK;

typedef void custody_renewal_fn(void *context, const struct custody_renewal *renewal);

struct custody_run {
	enum custody_why why; /* DUE or ALL */
	struct store_renewal_filter filter;
	int64_t deadline_ms; /* on the monotonic clock: nothing new is begun after it */
	const volatile sig_atomic_t *stop; /* the same as soon as it is not 0; or NULL */
	custody_renewal_fn *each;          /* called for every connection, as it ends */
	void *context;
	/* answered */
	size_t counts[CUSTODY_OUTCOME_COUNT];
	size_t distributed, not_distributed; /* connections whose other stores were brought up to
						date, or could not be */
	int64_t renewal_ms; /* until the last one was stored; the other stores come after it */
	int is_cut_short;   /* by the deadline or the stop: something due was left */
};

/*
 * Renews everything that is due, or all, at most the renewer's concurrency at a time. Memory does
 * not grow with their number. Returns what ends a run: the database's errors, ERR_IO (spool),
 * ERR_KEY_UNKNOWN; what was answered until then is stored or in the spool.
 */
enum err custody_renew_run(
	struct work *w, const struct custody *c, struct custody_run *run) MUST_CHECK;

#endif
