/* Clients: struct and row. */
#include "store/client.h"

enum err store_client_get(
	struct work *w, struct store_db *db, const char *client, const char **name)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_CLIENT_GET, &rows, store_text(client));

	if (err)
		return err;
	if (store_count(rows) == 0)
		return ERR_CLIENT_UNKNOWN;
	if (name)
		*name = store_get_text(rows, 0, 1);
	return ERR_OK;
}

enum err store_client_put(
	struct work *w, struct store_db *db, const char *client, const char *name, int *is_new)
{
	struct store_rows *rows = NULL;
	enum err err =
		store_run(w, db, STMT_CLIENT_PUT, &rows, store_text(client), store_text(name));

	if (!err)
		*is_new = store_get_bool(rows, 0, 0);
	return err;
}

enum err store_client_remove(struct work *w, struct store_db *db, const char *client)
{
	struct store_rows *rows = NULL;
	enum err err = store_client_get(w, db, client, NULL);

	if (!err)
		err = store_run(w, db, STMT_CLIENT_REMOVE, &rows, store_text(client));
	if (!err && store_count(rows) == 0)
		err = work_fail(w, ERR_IN_USE, "the client still holds a token");
	return err;
}

enum err store_client_list(struct work *w, struct store_db *db, const struct store_scope *scope,
	struct store_client **clients, size_t *n)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_CLIENT_LIST, &rows,
		store_text(store_scope_array(w, scope->clients, scope->client_count)),
		store_text(store_scope_array(w, scope->providers, scope->provider_count)));

	if (err)
		return err;
	*n = (size_t)store_count(rows);
	*clients = work_alloc(w, (*n + 1) * sizeof(**clients));
	for (int i = 0; i < store_count(rows); i++)
		(*clients)[i] = (struct store_client){store_get_text(rows, i, 0),
			store_get_text(rows, i, 1), store_get_text(rows, i, 2)};
	return ERR_OK;
}
