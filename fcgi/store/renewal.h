/*
 * Renewals as rows: who may renew what (leases), and what became of it. A claim and its end are
 * each one commit; between them no transaction is open. Every change is made only over the
 * generation the renewal started from.
 */
#ifndef VESTAL_STORE_RENEWAL_H
#define VESTAL_STORE_RENEWAL_H

#include "store/token.h"

#define STORE_RENEWAL_BATCH_MAX 256 /* rows of any call below */
#define STORE_RENEWAL_MINTS_MAX 31

/* Which connections: NULL, all of them. */
struct store_renewal_filter {
	const char *client, *provider;
};

/* The next connections whose time has come, in fair order. Returns at most `limit` ids. */
enum err store_renewal_due(struct work *w, struct store_db *db,
	const struct store_renewal_filter *filter, size_t limit, int64_t *ids,
	size_t *n) MUST_CHECK;

/* How many a run would take up now; all: whatever the schedule says. */
enum err store_renewal_count(struct work *w, struct store_db *db,
	const struct store_renewal_filter *filter, int all, int64_t *n) MUST_CHECK;

/* Those with something to renew, whatever the schedule says, in order of their ids above `after`.
 */
enum err store_renewal_all(struct work *w, struct store_db *db,
	const struct store_renewal_filter *filter, int64_t after, size_t limit, int64_t *ids,
	size_t *n) MUST_CHECK;

enum store_gate_state { STORE_GATE_CLOSED, STORE_GATE_OPEN, STORE_GATE_HALF_OPEN };

/* A gate as a claim sees it. */
struct store_gate {
	int64_t id; /* 0: there is none, which is as good as closed */
	enum store_gate_state state;
	int64_t retry_in_s;  /* until somebody may try; of one that is not closed */
	const char *version; /* of the definition that last got an answer; NULL: none yet */
};

/* A connection whose lease was won, with everything its renewal needs. Texts live in the work. */
struct store_claim {
	int64_t connection_id, app_id, fence;
	int64_t last_generation, generation; /* of the connection, and of the token it holds */
	const char *client, *provider, *datacenter, *api_domain,
		*scope; /* the last two may be NULL */
	struct store_sealed refresh;
	const char *state, *cause;
	int64_t failures, refusals;
	int is_ambiguous; /* an answer was lost since the last good one */
	int grant_is_over, access_lives;
	const char *claimed_at; /* the database's clock: a token's life counts from here */
	int64_t mint_ages_s[STORE_RENEWAL_MINTS_MAX]; /* of earlier requests, the oldest first */
	size_t mint_count;
	struct store_gate provider_gate, app_gate;
};

struct store_lease {
	const char *owner; /* the spool that stands behind it */
	int64_t lease_s;
	const char *why;    /* "due", "all", "read", "rejected", "admin", "check" */
	int64_t generation; /* only this token is meant; 0: whichever is there */
};

/*
 * Claims those of the connections that may be renewed for this reason and that nobody else holds.
 * claims has room for n. Returns the database's errors; none claimed is none.
 */
enum err store_renewal_claim(struct work *w, struct store_db *db, const struct store_lease *lease,
	const int64_t *ids, size_t n, struct store_claim *claims, size_t *count) MUST_CHECK;

/* The same, sent ahead (store/db.h) and fetched; n as it was sent. */
enum err store_renewal_claim_send(struct work *w, struct store_db *db,
	const struct store_lease *lease, const int64_t *ids, size_t n) MUST_CHECK;
enum err store_renewal_claim_fetch(struct work *w, struct store_db *db, size_t n,
	struct store_claim *claims, size_t *count) MUST_CHECK;

/* Why a connection is as it is, for whoever did not get it. */
struct store_look {
	int64_t generation; /* 0: it holds no token */
	const char *state, *cause;
	int is_leased;
	int64_t lease_left_s, next_in_s;
	const char *deferred_by; /* or NULL */
	int is_renewable;
	int64_t lives_s;        /* of the access token; -1: without end or none */
	const char *gate_cause; /* of a gate that is open; or NULL */
	int64_t failures;
};

/* Returns: ERR_CONNECTION_UNKNOWN. */
enum err store_renewal_look(struct work *w, struct store_db *db, int64_t connection_id,
	struct store_look *look) MUST_CHECK;

/* A renewed token, sealed for the generation `to`. */
struct store_renewed {
	int64_t connection_id, fence, from, to;
	struct store_sealed access, refresh;
	const char *access_fingerprint, *refresh_fingerprint, *token_type;
	int64_t lifetime_s;             /* -1: without end */
	int64_t refresh_lifetime_s;     /* -1: not said */
	int64_t idle_ttl_s;             /* 0: none known */
	const char *asked_at;           /* the claim's claimed_at */
	const char *api_domain, *scope; /* NULL: as they were */
	const char *scope_is;           /* "whole", "shrunk", "unsaid" */
	int64_t margin_s, late_s;       /* renew so early; overdue so long after that */
	const char *why;
};

enum store_settled {
	STORE_RENEWED,
	STORE_REPEATED,   /* the very same renewal was stored before */
	STORE_SUPERSEDED, /* something newer is there, and stays */
	STORE_GONE,       /* the connection is not there any more */
};

/* Sends as many of them as one commit takes, with their events, ahead (store/db.h); then fetches
 * what became of those: settled[i], by the connection ids[i]. */
enum err store_renewal_send(struct work *w, struct store_db *db, const struct store_renewed *rows,
	size_t n, size_t *sent) MUST_CHECK;
enum err store_renewal_fetch(struct work *w, struct store_db *db, const int64_t *ids, size_t n,
	enum store_settled *settled) MUST_CHECK;

/* Both, for all of them: settled[i] says what became of rows[i]. */
enum err store_renewal_renewed(struct work *w, struct store_db *db,
	const struct store_renewed *rows, size_t n, enum store_settled *settled) MUST_CHECK;

/* A renewal that brought no token. */
struct store_failed {
	int64_t connection_id, fence, from;
	const char *state, *cause; /* what they become */
	int64_t wait_s;            /* until the next try; -1: there is none */
	const char *deferred_by;   /* or NULL */
	int64_t refusals;
	int is_ambiguous; /* the provider may have acted, and rotates */
	int was_asked;    /* counts for the provider's quota */
	const char *code; /* a closed word */
	const char *why;
};

/* Stores them with their events; counts[i]: whether it still said something of the token that is
 * there. */
enum err store_renewal_failed(struct work *w, struct store_db *db, const struct store_failed *rows,
	size_t n, int *counts) MUST_CHECK;

/* A claim that is given back without the provider having been asked. */
struct store_deferred {
	int64_t connection_id, fence;
	int64_t wait_s;          /* -1: its time stays */
	const char *deferred_by; /* or NULL: as it was */
	int is_try; /* out of turn: it counts as one, lest somebody asks on without a pause */
};

enum err store_renewal_deferred(struct work *w, struct store_db *db,
	const struct store_deferred *rows, size_t n) MUST_CHECK;

/* Ends the leases of an owner that is gone; *n: how many there were. */
enum err store_renewal_release(
	struct work *w, struct store_db *db, const char *owner, size_t *n) MUST_CHECK;

/* What is there now, to compare a spool's slot with. */
struct store_left {
	int64_t fence, last_generation, generation, failures, refusals, app_id;
	const char *client, *provider, *datacenter, *state, *cause;
	int is_ambiguous, grant_is_over, access_lives;
};

/* Returns: ERR_CONNECTION_UNKNOWN. */
enum err store_renewal_left(struct work *w, struct store_db *db, int64_t connection_id,
	struct store_left *left) MUST_CHECK;

/* Connections above `after` whose stores outside the database are not, or not known to be, up to
 * date. */
enum err store_renewal_stale(struct work *w, struct store_db *db, int64_t after, size_t limit,
	int64_t *ids, size_t *n) MUST_CHECK;

/* What a run would do with a connection, and why. */
struct store_plan {
	const char *client, *provider;
	const char *what; /* "renew", "settle" (the one try after an answer was lost), "wait" */
	const char *why;  /* "due", "all"; of "wait": "leased", "app_gate", "provider_gate", or
			     deferred_by */
	int64_t overdue_s, wait_s; /* wait_s -1: not of a "wait" */
	const char *cause;
};

typedef enum err store_plan_fn(struct work *w, const struct store_plan *plan, void *context);

/* Hands over every connection that is due (all: every one that can be renewed), row by row. */
enum err store_renewal_plan(struct work *w, struct store_db *db,
	const struct store_renewal_filter *filter, int all, store_plan_fn *fn,
	void *context) MUST_CHECK;

#endif
