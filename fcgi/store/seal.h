/* The proof of the audit trail: leaves and checkpoints. Hashes and signatures are made elsewhere.
 */
#ifndef VESTAL_STORE_SEAL_H
#define VESTAL_STORE_SEAL_H

#include "store/db.h"

/* The newest checkpoint, and what is true now. Texts are NULL and numbers 0 before the first. */
struct store_seal_head {
	int64_t number, size;
	const char *origin, *horizon, *note;
	const unsigned char *root, *frontier;
	size_t root_n, frontier_n;
	const char *now_horizon; /* every transaction below it is over */
	const char *now;         /* RFC 3339 */
	int is_ahead;            /* horizon belongs to another cluster's transactions */
};

struct store_seal_checkpoint {
	int64_t number, size;
	const char *origin, *horizon, *pruned, *note; /* pruned: a month, or NULL */
	const unsigned char *root, *frontier;
	size_t root_n, frontier_n;
};

/* Whether the sealing is ours until the transaction ends; nobody waits. */
enum err store_seal_lock(struct work *w, struct store_db *db, int *is_ours) MUST_CHECK;

enum err store_seal_head(
	struct work *w, struct store_db *db, struct store_seal_head *head) MUST_CHECK;

/* Events that have no leaf, in the order of their leaves, as queries/seal/pending.sql has them. */
enum err store_seal_pending(struct work *w, struct store_db *db, const char *from, const char *to,
	const char *horizon, int64_t most, store_row_fn *fn, void *context) MUST_CHECK;

/* n leaves from the index first on; hashes: 32 bytes each. */
enum err store_seal_add_leaves(struct work *w, struct store_db *db, int64_t first,
	const int64_t *events, const int64_t *at_us, size_t n,
	const unsigned char *hashes) MUST_CHECK;
enum err store_seal_add_checkpoint(struct work *w, struct store_db *db,
	const struct store_seal_checkpoint *checkpoint) MUST_CHECK;

/* Checkpoints after a number, at most so many: number, note, day. */
enum err store_seal_notes(struct work *w, struct store_db *db, int64_t after, int64_t most,
	struct store_rows **rows) MUST_CHECK;

/* Runs body in a transaction that reads only, and sees the database as it is at its first
 * statement.
 */
enum err store_seal_snapshot(
	struct work *w, struct store_db *db, store_body_fn *body, void *context) MUST_CHECK;

/* What a verification reads, row by row; the columns are those of queries/seal/<name>.sql. */
enum store_seal_list {
	STORE_SEAL_CHECKPOINTS,
	STORE_SEAL_LEAVES,
	STORE_SEAL_UNSEALED,
	STORE_SEAL_TOKENS,
	STORE_SEAL_DRIFT
};
enum err store_seal_each(struct work *w, struct store_db *db, enum store_seal_list list,
	store_row_fn *fn, void *context) MUST_CHECK;

/* Events, and leaves, from a moment to before another; columns as in queries/seal/export.sql and
 * pruned_leaves.sql. */
enum err store_seal_export(struct work *w, struct store_db *db, const char *from, const char *to,
	store_row_fn *fn, void *context) MUST_CHECK;
enum err store_seal_month_leaves(struct work *w, struct store_db *db, const char *from,
	const char *to, store_row_fn *fn, void *context) MUST_CHECK;

/* The newest sealed export of a month. Returns: ERR_NOT_FOUND. Owns: the work. */
enum err store_seal_exported(struct work *w, struct store_db *db, const char *month,
	const char **sha256, int64_t *rows) MUST_CHECK;

/* Drops a month's partition. Returns: ERR_CONFLICT when the database sees a reason against it. */
enum err store_seal_prune(
	struct work *w, struct store_db *db, const char *month, int64_t *rows) MUST_CHECK;

/* How far the trail is sealed. Ages are seconds, -1 where there is none. */
struct store_seal_status {
	int64_t size, checkpoint_age_s, unsealed, oldest_s;
};
enum err store_seal_status(
	struct work *w, struct store_db *db, struct store_seal_status *status) MUST_CHECK;

#endif
