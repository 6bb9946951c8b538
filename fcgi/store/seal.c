/* Leaves and checkpoints: struct and row. What they prove is custody's business. */
#include "store/seal.h"

enum err store_seal_lock(struct work *w, struct store_db *db, int *is_ours)
{
	struct store_rows *rows = NULL;
	enum err err = store_run_plain(w, db, STMT_SEAL_LOCK, &rows);

	if (!err)
		*is_ours = store_get_bool(rows, 0, 0);
	return err;
}

enum err store_seal_head(struct work *w, struct store_db *db, struct store_seal_head *head)
{
	struct store_rows *rows = NULL;
	enum err err = store_run_plain(w, db, STMT_SEAL_HEAD, &rows);

	if (err)
		return err;
	*head = (struct store_seal_head){.number = store_get_int(rows, 0, 0),
		.size = store_get_int(rows, 0, 1),
		.origin = store_get_text(rows, 0, 2),
		.horizon = store_get_text(rows, 0, 5),
		.note = store_get_text(rows, 0, 6),
		.now_horizon = store_get_text(rows, 0, 7),
		.is_ahead = store_get_bool(rows, 0, 8),
		.now = store_get_text(rows, 0, 9)};
	head->root = store_get_bytes(w, rows, 0, 3, &head->root_n);
	head->frontier = store_get_bytes(w, rows, 0, 4, &head->frontier_n);
	return ERR_OK;
}

enum err store_seal_pending(struct work *w, struct store_db *db, const char *from, const char *to,
	const char *horizon, int64_t most, store_row_fn *fn, void *context)
{
	const struct store_param params[] = {
		store_text(from), store_text(to), store_text(horizon), store_int(most)};

	return store_db_each(w, db, STMT_SEAL_PENDING, params, 4, fn, context);
}

enum err store_seal_add_leaves(struct work *w, struct store_db *db, int64_t first,
	const int64_t *events, const int64_t *at_us, size_t n, const unsigned char *hashes)
{
	return store_run(w, db, STMT_SEAL_ADD_LEAVES, NULL, store_int(first),
		store_text(store_id_array(w, events, n)), store_text(store_id_array(w, at_us, n)),
		store_bytes(hashes, 32 * n));
}

enum err store_seal_add_checkpoint(
	struct work *w, struct store_db *db, const struct store_seal_checkpoint *c)
{
	return store_run(w, db, STMT_SEAL_ADD_CHECKPOINT, NULL, store_int(c->number),
		store_text(c->origin), store_int(c->size), store_bytes(c->root, c->root_n),
		store_bytes(c->frontier, c->frontier_n), store_text(c->horizon),
		store_text(c->pruned), store_text(c->note));
}

enum err store_seal_notes(
	struct work *w, struct store_db *db, int64_t after, int64_t most, struct store_rows **rows)
{
	return store_run(w, db, STMT_SEAL_NOTES, rows, store_int(after), store_int(most));
}

struct snapshot {
	store_body_fn *body;
	void *context;
};

static enum err in_snapshot(struct work *w, struct store_db *db, void *context)
{
	const struct snapshot *s = context;
	enum err err = store_db_script(
		w, db, "set transaction isolation level repeatable read, read only");

	return err ? err : s->body(w, db, s->context);
}

enum err store_seal_snapshot(
	struct work *w, struct store_db *db, store_body_fn *body, void *context)
{
	struct snapshot s = {.body = body, .context = context};

	return store_db_transaction(w, db, in_snapshot, &s);
}

enum err store_seal_each(struct work *w, struct store_db *db, enum store_seal_list list,
	store_row_fn *fn, void *context)
{
	static const enum stmt stmts[] = {
		[STORE_SEAL_CHECKPOINTS] = STMT_SEAL_CHECKPOINTS,
		[STORE_SEAL_LEAVES] = STMT_SEAL_LEAVES,
		[STORE_SEAL_UNSEALED] = STMT_SEAL_UNSEALED,
		[STORE_SEAL_TOKENS] = STMT_SEAL_TOKENS,
		[STORE_SEAL_DRIFT] = STMT_SEAL_DRIFT,
	};

	return store_db_each(w, db, stmts[list], NULL, 0, fn, context);
}

enum err store_seal_export(struct work *w, struct store_db *db, const char *from, const char *to,
	store_row_fn *fn, void *context)
{
	const struct store_param params[] = {store_text(from), store_text(to)};

	return store_db_each(w, db, STMT_SEAL_EXPORT, params, 2, fn, context);
}

enum err store_seal_month_leaves(struct work *w, struct store_db *db, const char *from,
	const char *to, store_row_fn *fn, void *context)
{
	const struct store_param params[] = {store_text(from), store_text(to)};

	return store_db_each(w, db, STMT_SEAL_PRUNED_LEAVES, params, 2, fn, context);
}

enum err store_seal_exported(
	struct work *w, struct store_db *db, const char *month, const char **sha256, int64_t *rows)
{
	struct store_rows *found = NULL;
	enum err err = store_run(w, db, STMT_SEAL_EXPORTED, &found, store_text(month));

	if (err)
		return err;
	if (!store_count(found) || store_is_null(found, 0, 0))
		return ERR_NOT_FOUND;
	*sha256 = store_get_text(found, 0, 0);
	*rows = store_get_int(found, 0, 1);
	return ERR_OK;
}

enum err store_seal_prune(struct work *w, struct store_db *db, const char *month, int64_t *rows)
{
	struct store_rows *found = NULL;
	enum err err = store_run(w, db, STMT_SEAL_PRUNE, &found, store_text(month));

	if (!err)
		*rows = store_get_int(found, 0, 0);
	return err;
}

enum err store_seal_status(struct work *w, struct store_db *db, struct store_seal_status *status)
{
	struct store_rows *rows = NULL;
	enum err err = store_run_plain(w, db, STMT_SEAL_STATUS, &rows);

	if (err)
		return err;
	*status = (struct store_seal_status){.size = store_get_int(rows, 0, 0),
		.checkpoint_age_s = store_is_null(rows, 0, 1) ? -1 : store_get_int(rows, 0, 1),
		.unsealed = store_get_int(rows, 0, 2),
		.oldest_s = store_is_null(rows, 0, 3) ? -1 : store_get_int(rows, 0, 3)};
	return ERR_OK;
}
