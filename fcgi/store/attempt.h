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

struct store_swept {
	int64_t expired, lost, forgotten;
};

/*
 * Ends flows that nobody came back for (an hour after they expired) and those that took longer than
 * flow_s, with an event each, for their worker is gone; forgets those that ended more than
 * keep_days ago. At most `most` of each.
 */
enum err store_attempt_sweep(struct work *w, struct store_db *db, int64_t flow_s, int64_t keep_days,
	int64_t most, struct store_swept *swept) MUST_CHECK;

#endif
