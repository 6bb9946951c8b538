/* Authorization attempts: one use of one state. */
#ifndef VESTAL_STORE_ATTEMPT_H
#define VESTAL_STORE_ATTEMPT_H

#include "store/db.h"
#include "store/token.h"

#define STORE_STATE_HASH_BYTES 32

struct store_attempt {
	int64_t id, connection_id, app_id;
	int64_t incident_id; /* 0: none */
	const char *client, *kind, *datacenter, *actor;
	struct store_sealed verifier;
	unsigned char state_hash[STORE_STATE_HASH_BYTES];
};

/* Stores a new attempt that lives life_s seconds; *expires_at: when it ends. */
enum err store_attempt_begin(struct work *w, struct store_db *db,
	const struct store_attempt *attempt, int64_t life_s, const char **expires_at) MUST_CHECK;

/*
 * Uses up the attempt of attempt->state_hash at this provider and fills in the rest.
 * Returns: ERR_STATE_UNKNOWN for one that is unknown, used, too old or another provider's.
 */
enum err store_attempt_consume(struct work *w, struct store_db *db, const char *provider,
	struct store_attempt *attempt) MUST_CHECK;

/* Records what became of it: "granted", or the slug of an error. The first outcome stays. */
enum err store_attempt_end(
	struct work *w, struct store_db *db, int64_t id, const char *outcome) MUST_CHECK;

/* What became of it; NULL when nothing is known. */
enum err store_attempt_outcome(
	struct work *w, struct store_db *db, int64_t id, const char **outcome) MUST_CHECK;

/*
 * Ends an attempt with "account_changed" and keeps its token, sealed, for life_s seconds; age_s:
 * since the provider was asked. One that was kept for the connection before is wiped. Under
 * store_connection_lock(). Returns: ERR_CONFLICT when the attempt was over already.
 */
enum err store_attempt_hold(struct work *w, struct store_db *db, int64_t id,
	const struct store_sealed *held, int64_t life_s, int64_t age_s) MUST_CHECK;

/* The newest attempt of a connection whose token was kept. */
struct store_held {
	int64_t attempt_id, connection_id, app_id;
	int64_t incident_id; /* 0: none */
	unsigned char state_hash[STORE_STATE_HASH_BYTES];
	struct store_sealed sealed; /* NULL: wiped, taken, or another one came after it */
	int64_t age_s;              /* since the provider was asked */
	int waits;                  /* its time is not over */
	const char *until;
	const char *pinned; /* the fingerprint the connection is bound to; or NULL */
};

/* Returns: ERR_NOT_FOUND when there was none. Owns: the work. */
enum err store_attempt_held(struct work *w, struct store_db *db, const char *client,
	const char *provider, struct store_held *held) MUST_CHECK;

/*
 * Wipes what is kept for a connection, for it has a token from now on. *was_there: what attempt_id
 * kept was there, and its time was not over. Under store_connection_lock().
 */
enum err store_attempt_take(struct work *w, struct store_db *db, int64_t connection_id,
	int64_t attempt_id, int *was_there) MUST_CHECK;

struct store_swept {
	int64_t expired, lost, forgotten, wiped;
};

/*
 * Ends flows that nobody came back for (an hour after they expired) and those that took longer than
 * flow_s, with an event each, for their worker is gone; forgets those that ended more than
 * keep_days ago; wipes kept tokens whose time is over. At most `most` of each.
 */
enum err store_attempt_sweep(struct work *w, struct store_db *db, int64_t flow_s, int64_t keep_days,
	int64_t most, struct store_swept *swept) MUST_CHECK;

#endif
