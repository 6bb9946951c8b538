/*
 * Gates: whether a provider's data centre, or an app, may be asked at all. The circuit breaker of
 * all processes on all hosts: closed lets everybody through, open nobody until its time, half open
 * the one who tries.
 */
#ifndef VESTAL_STORE_GATE_H
#define VESTAL_STORE_GATE_H

#include "store/renewal.h"

struct store_gate_key {
	const char *provider, *datacenter;
	int64_t app_id; /* 0: the provider's own */
};

struct store_gate_note {
	struct store_gate_key key;
	int64_t good, bad;
	const char *code, *cause; /* of the bad */
	int64_t threshold, first_s,
		longest_s;   /* bad in a row that open it; how long at first, and at most */
	const char *version; /* of the definition that was answered; NULL: not said */
};

struct store_gate_change {
	int64_t id; /* 0: nothing to write */
	enum store_gate_state state;
	int opened, closed; /* by this very note */
	int64_t retry_in_s;
};

/* The word of a row; any other is STORE_GATE_CLOSED. */
enum store_gate_state store_gate_state(const char *word);

/* Counts answers. Without bad ones nothing is written to a gate that is closed and calm. */
enum err store_gate_note(struct work *w, struct store_db *db, const struct store_gate_note *note,
	struct store_gate_change *change) MUST_CHECK;

/* Makes a gate that is not there. */
enum err store_gate_ensure(
	struct work *w, struct store_db *db, const struct store_gate_key *key) MUST_CHECK;

/* Whether this caller may try a gate that is not closed: nobody else may for try_s. */
enum err store_gate_try(
	struct work *w, struct store_db *db, int64_t id, int64_t try_s, int *is_mine) MUST_CHECK;

/* What stands in the way of one more request: a gate that is shut, the provider's quota. */
struct store_meter {
	const char *gate_cause;            /* NULL: none is */
	int64_t gate_wait_s, quota_wait_s; /* quota 0: there is room */
};

/* Looks at the gates of a key, both of them, and at a connection's requests of the last window_s,
 * of which there may be `share` (0: any number). connection_id 0: there is none yet. */
enum err store_gate_meter(struct work *w, struct store_db *db, const struct store_gate_key *key,
	int64_t connection_id, int64_t share, int64_t window_s,
	struct store_meter *meter) MUST_CHECK;

/* The gates of apps whose credentials were changed since they were refused. Owns: the work. */
enum err store_gate_mended(
	struct work *w, struct store_db *db, struct store_gate_key **keys, size_t *n) MUST_CHECK;

/* What waited behind a gate is due again, over spread_s; 0: at once. */
enum err store_gate_resume(struct work *w, struct store_db *db, const struct store_gate_key *key,
	int64_t spread_s, size_t *n) MUST_CHECK;

/* Remembers n deaths for window_s. *lately: how many there were in that time, these included. */
enum err store_gate_death(struct work *w, struct store_db *db, const struct store_gate_key *key,
	int64_t n, int64_t window_s, int64_t *lately) MUST_CHECK;

/* A gate that is closed, calm, and still has an open incident. */
struct store_gate_quiet {
	int64_t id;
	struct store_gate_key key;
};

/* Those without a refused grant for quiet_s. Owns: the work. */
enum err store_gate_quiet(struct work *w, struct store_db *db, int64_t quiet_s,
	struct store_gate_quiet **quiet, size_t *n) MUST_CHECK;

#endif
