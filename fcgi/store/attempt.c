/* Authorization attempts: struct and row. */
#include "store/attempt.h"

#include "store/audit.h"
#include "store/run.h"

#include <string.h>

enum err store_attempt_begin(struct work *w, struct store_db *db,
	const struct store_attempt *attempt, int64_t life_s, const char **expires_at)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_ATTEMPT_BEGIN, &rows,
		store_bytes(attempt->state_hash, sizeof(attempt->state_hash)),
		store_int(attempt->connection_id), store_int(attempt->app_id),
		store_int_or_null(attempt->incident_id, attempt->incident_id == 0),
		store_text(attempt->kind), store_text(attempt->datacenter),
		attempt->verifier.bytes ? store_bytes(attempt->verifier.bytes, attempt->verifier.n)
					: store_null(),
		store_text(attempt->actor), store_int(life_s));

	if (!err)
		*expires_at = store_get_text(rows, 0, 0);
	return err;
}

enum err store_attempt_consume(
	struct work *w, struct store_db *db, const char *provider, struct store_attempt *attempt)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_ATTEMPT_CONSUME, &rows,
		store_bytes(attempt->state_hash, sizeof(attempt->state_hash)),
		store_text(provider));

	if (err)
		return err;
	if (store_count(rows) == 0)
		return ERR_STATE_UNKNOWN;
	attempt->id = store_get_int(rows, 0, 0);
	attempt->connection_id = store_get_int(rows, 0, 1);
	attempt->client = store_get_text(rows, 0, 2);
	attempt->app_id = store_get_int(rows, 0, 3);
	attempt->incident_id = store_get_int(rows, 0, 4);
	attempt->kind = store_get_text(rows, 0, 5);
	attempt->datacenter = store_get_text(rows, 0, 6);
	attempt->verifier.bytes = store_get_bytes(w, rows, 0, 7, &attempt->verifier.n);
	attempt->actor = store_get_text(rows, 0, 8);
	return ERR_OK;
}

enum err store_attempt_end(struct work *w, struct store_db *db, int64_t id, const char *outcome)
{
	return store_run(w, db, STMT_ATTEMPT_END, NULL, store_int(id), store_text(outcome));
}

enum err store_attempt_outcome(
	struct work *w, struct store_db *db, int64_t id, const char **outcome)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_ATTEMPT_OUTCOME, &rows, store_int(id));

	*outcome = !err && store_count(rows) ? store_get_text(rows, 0, 0) : NULL;
	return err;
}

enum err store_attempt_hold(struct work *w, struct store_db *db, int64_t id,
	const struct store_sealed *held, int64_t life_s, int64_t age_s)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_ATTEMPT_HOLD, &rows, store_int(id),
		store_bytes(held->bytes, held->n), store_int(life_s), store_int(age_s));

	if (!err && store_count(rows) == 0)
		return work_cause(w, ERR_CONFLICT, "the attempt is over already");
	return err;
}

enum err store_attempt_held(struct work *w, struct store_db *db, const char *client,
	const char *provider, struct store_held *held)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(
		w, db, STMT_ATTEMPT_HELD, &rows, store_text(client), store_text(provider));
	const unsigned char *hash;
	size_t n = 0;

	if (err)
		return err;
	if (store_count(rows) == 0)
		return ERR_NOT_FOUND;
	*held = (struct store_held){
		.attempt_id = store_get_int(rows, 0, 0),
		.connection_id = store_get_int(rows, 0, 1),
		.app_id = store_get_int(rows, 0, 2),
		.incident_id = store_get_int(rows, 0, 3),
		.age_s = store_get_int(rows, 0, 6),
		.waits = store_get_bool(rows, 0, 7),
		.until = store_get_text(rows, 0, 8),
		.pinned = store_get_text(rows, 0, 9),
	};
	hash = store_get_bytes(w, rows, 0, 4, &n);
	if (n != sizeof(held->state_hash))
		return work_cause(w, ERR_BUG, "a state's hash of %zu bytes", n);
	memcpy(held->state_hash, hash, n);
	held->sealed.bytes = store_get_bytes(w, rows, 0, 5, &held->sealed.n);
	return ERR_OK;
}

enum err store_attempt_take(struct work *w, struct store_db *db, int64_t connection_id,
	int64_t attempt_id, int *was_there)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(
		w, db, STMT_ATTEMPT_TAKE, &rows, store_int(connection_id), store_int(attempt_id));

	if (!err)
		*was_there = store_get_bool(rows, 0, 0);
	return err;
}

enum err store_attempt_sweep(struct work *w, struct store_db *db, int64_t flow_s, int64_t keep_days,
	int64_t most, struct store_swept *swept)
{
	const struct origin *origin = &w->origin;
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_ATTEMPT_SWEEP, &rows, store_int(flow_s),
		store_int(keep_days), store_int(most), store_text(store_audit_host()),
		store_text(work_printf(w, "%s %s", store_db_program(db), VESTAL_VERSION)),
		store_text(origin->request_id), store_text(store_run_current()),
		store_text(origin->actor), store_text(origin->actor_auth),
		store_text(origin->address));

	if (!err)
		*swept = (struct store_swept){.expired = store_get_int(rows, 0, 0),
			.lost = store_get_int(rows, 0, 1),
			.forgotten = store_get_int(rows, 0, 2),
			.wiped = store_get_int(rows, 0, 3)};
	return err;
}
