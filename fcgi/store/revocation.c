/* Revocations: struct and row. Sealed bytes pass through and are never opened here. */
#include "store/revocation.h"

#include "store/scope.h"

enum err store_revocation_begin(struct work *w, struct store_db *db, int64_t connection_id,
	int rotates, struct store_retired *newest)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_REVOCATION_BEGIN, &rows, store_int(connection_id),
		store_int_or_null(newest->generation, newest->generation == 0),
		store_bool(rotates));

	if (!err && store_count(rows))
		*newest = (struct store_retired){
			store_get_int(rows, 0, 0), store_get_text(rows, 0, 1)};
	return err;
}

enum err store_revocation_begun(
	struct work *w, struct store_db *db, int64_t connection_id, int64_t generation, int *begun)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_REVOCATION_BEGUN, &rows, store_int(connection_id),
		store_int(generation));

	*begun = !err && store_get_bool(rows, 0, 0);
	return err;
}

static enum err claim(struct work *w, struct store_db *db, int64_t connection_id,
	const char *places, struct store_revocation *revocation)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_REVOCATION_CLAIM, &rows,
		store_int_or_null(connection_id, connection_id == 0), store_text(places));

	if (err)
		return err;
	if (store_count(rows) == 0)
		return ERR_NOT_FOUND;
	*revocation = (struct store_revocation){
		.connection_id = store_get_int(rows, 0, 0),
		.generation = store_get_int(rows, 0, 1),
		.client = store_get_text(rows, 0, 2),
		.provider = store_get_text(rows, 0, 3),
		.app_id = store_get_int(rows, 0, 4),
		.datacenter = store_get_text(rows, 0, 5),
		.api_domain = store_get_text(rows, 0, 6),
		.fingerprint = store_get_text(rows, 0, 9),
		.is_last = store_get_bool(rows, 0, 10),
	};
	revocation->access.bytes = store_get_bytes(w, rows, 0, 7, &revocation->access.n);
	revocation->refresh.bytes = store_get_bytes(w, rows, 0, 8, &revocation->refresh.n);
	return ERR_OK;
}

enum err store_revocation_claim(struct work *w, struct store_db *db, int64_t connection_id,
	struct store_revocation *revocation)
{
	return claim(w, db, connection_id, "{}", revocation);
}

enum err store_revocation_claim_any(struct work *w, struct store_db *db, const char *const *places,
	size_t n, struct store_revocation *revocation)
{
	return claim(w, db, 0, store_scope_array(w, places, n), revocation);
}

enum err store_revocation_defer(struct work *w, struct store_db *db,
	const struct store_revocation *revocation, int64_t wait_s)
{
	return store_run(w, db, STMT_REVOCATION_DEFER, NULL, store_int(revocation->connection_id),
		store_int(revocation->generation), store_int(wait_s));
}

enum err store_revocation_settle(struct work *w, struct store_db *db,
	const struct store_revocation *revocation, const char *word, int64_t *tries)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_REVOCATION_SETTLE, &rows,
		store_int(revocation->connection_id), store_int(revocation->generation),
		store_text(word));

	*tries = !err && store_count(rows) ? store_get_int(rows, 0, 0) : 0;
	return err;
}

enum err store_revocation_stray(
	struct work *w, struct store_db *db, const struct store_renewed *renewed)
{
	return store_run(w, db, STMT_REVOCATION_STRAY, NULL, store_int(renewed->connection_id),
		store_int(renewed->from), store_int(renewed->to),
		store_bytes(renewed->access.bytes, renewed->access.n),
		store_bytes(renewed->refresh.bytes, renewed->refresh.n),
		store_text(renewed->access_fingerprint), store_text(renewed->refresh_fingerprint),
		store_text(renewed->token_type));
}
