/* Connections: struct and row. */
#include "store/connection.h"

#include "store/scope.h"

enum err store_connection_ensure(struct work *w, struct store_db *db, const char *client,
	const char *provider, int64_t *id, int *is_new)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(
		w, db, STMT_CONNECTION_ENSURE, &rows, store_text(client), store_text(provider));

	if (err)
		return err;
	*id = store_get_int(rows, 0, 0);
	*is_new = store_get_bool(rows, 0, 1);
	return ERR_OK;
}

enum err store_connection_find(
	struct work *w, struct store_db *db, const char *client, const char *provider, int64_t *id)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(
		w, db, STMT_CONNECTION_FIND, &rows, store_text(client), store_text(provider));

	if (err)
		return err;
	if (store_count(rows) == 0)
		return ERR_CONNECTION_UNKNOWN;
	*id = store_get_int(rows, 0, 0);
	return ERR_OK;
}

enum err store_connection_lock(
	struct work *w, struct store_db *db, int64_t id, struct store_connection *connection)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_CONNECTION_LOCK, &rows, store_int(id));

	if (err)
		return err;
	if (store_count(rows) == 0)
		return ERR_CONNECTION_UNKNOWN;
	*connection = (struct store_connection){
		.id = id,
		.client = store_get_text(rows, 0, 0),
		.provider = store_get_text(rows, 0, 1),
		.last_generation = store_get_int(rows, 0, 2),
		.state = store_get_text(rows, 0, 3),
		.cause = store_get_text(rows, 0, 4),
		.account = store_get_text(rows, 0, 5),
	};
	return ERR_OK;
}

enum err store_connection_lock_many(
	struct work *w, struct store_db *db, const int64_t *ids, size_t n)
{
	return store_run(
		w, db, STMT_CONNECTION_LOCK_MANY, NULL, store_text(store_id_array(w, ids, n)));
}

enum err store_connection_lock_all(struct work *w, struct store_db *db, const char *client)
{
	return store_run(w, db, STMT_CONNECTION_LOCK_ALL, NULL, store_text(client));
}

enum err store_connection_granted(
	struct work *w, struct store_db *db, int64_t id, const struct store_grant *grant)
{
	return store_run(w, db, STMT_CONNECTION_GRANTED, NULL, store_int(id),
		store_int(grant->app_id), store_text(grant->datacenter),
		store_text(grant->api_domain), store_text(grant->scope),
		store_text(grant->kept_json), store_int(grant->generation),
		store_text(grant->cause), store_int(grant->renew_before_s),
		store_int(grant->refresh_period_s), store_text(grant->account),
		store_bool(grant->is_passive));
}

enum err store_connection_pin(struct work *w, struct store_db *db, int64_t id, const char *account)
{
	return store_run(w, db, STMT_CONNECTION_PIN, NULL, store_int(id), store_text(account));
}

enum err store_connection_activate(struct work *w, struct store_db *db, int64_t id,
	int64_t renew_before_s, int64_t refresh_period_s, int64_t *generation)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_CONNECTION_ACTIVATE, &rows, store_int(id),
		store_int(renew_before_s), store_int(refresh_period_s));

	*generation = !err && store_count(rows) ? store_get_int(rows, 0, 0) : 0;
	return err;
}

enum err store_connection_emptied(
	struct work *w, struct store_db *db, int64_t id, const char *cause)
{
	return store_run(w, db, STMT_CONNECTION_EMPTIED, NULL, store_int(id), store_text(cause));
}

enum err store_connection_mint(struct work *w, struct store_db *db, int64_t id)
{
	return store_run(w, db, STMT_CONNECTION_MINT, NULL, store_int(id));
}

enum err store_connection_distributed(
	struct work *w, struct store_db *db, const struct store_distributed *rows, size_t n)
{
	int64_t *ids = work_alloc(w, 3 * (n + 1) * sizeof(*ids));
	int64_t *copies = ids + n + 1, *environments = copies + n + 1;

	for (size_t i = 0; i < n; i++) {
		ids[i] = rows[i].connection_id;
		copies[i] = rows[i].copy;
		environments[i] = rows[i].environment;
	}
	return store_run(w, db, STMT_CONNECTION_DISTRIBUTED, NULL,
		store_text(store_id_array(w, ids, n)), store_text(store_id_array(w, copies, n)),
		store_text(store_id_array(w, environments, n)));
}

enum err store_connection_held(struct work *w, struct store_db *db, const char *client,
	const char *const *keep, size_t n, const char **provider)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_CONNECTION_HELD, &rows, store_text(client),
		store_text(store_scope_array(w, keep, n)));

	if (!err)
		*provider = store_count(rows) ? store_get_text(rows, 0, 0) : NULL;
	return err;
}

enum err store_connection_take_away(struct work *w, struct store_db *db, const char *client,
	const char *const *keep, size_t n, struct store_taken **taken, size_t *count)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_CONNECTION_TAKE_AWAY, &rows, store_text(client),
		store_text(store_scope_array(w, keep, n)));

	if (err)
		return err;
	*count = (size_t)store_count(rows);
	*taken = work_alloc(w, (*count + 1) * sizeof(**taken));
	for (int i = 0; i < store_count(rows); i++)
		(*taken)[i] =
			(struct store_taken){store_get_int(rows, i, 0), store_get_text(rows, i, 1)};
	return ERR_OK;
}
