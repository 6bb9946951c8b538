/* Apps: struct and row. */
#include "store/app.h"

static enum err fill(struct work *w, const struct store_rows *rows, struct store_app *app)
{
	if (store_count(rows) == 0)
		return ERR_APP_MISSING;
	*app = (struct store_app){
		.id = store_get_int(rows, 0, 0),
		.owner = store_get_text(rows, 0, 1),
		.datacenter = store_get_text(rows, 0, 2),
		.oauth_client_id = store_get_text(rows, 0, 3),
		.generation = store_get_int(rows, 0, 5),
		.redirect_uri = store_get_text(rows, 0, 6),
		.params_json = store_get_text(rows, 0, 7),
	};
	app->secret_sealed = store_get_bytes(w, rows, 0, 4, &app->secret_sealed_bytes);
	return ERR_OK;
}

enum err store_app_find(struct work *w, struct store_db *db, const char *provider,
	const char *client, const char *datacenter, struct store_app *app)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_APP_FIND, &rows, store_text(provider),
		store_text(client), store_text(datacenter));

	return err ? err : fill(w, rows, app);
}

static const char *owner_or_null(const char *owner)
{
	return owner && *owner ? owner : NULL;
}

enum err store_app_at(struct work *w, struct store_db *db, const char *provider, const char *owner,
	const char *datacenter, struct store_app *app)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_APP_AT, &rows, store_text(provider),
		store_text(owner_or_null(owner)), store_text(datacenter));

	return err ? err : fill(w, rows, app);
}

enum err store_app_get(struct work *w, struct store_db *db, int64_t id, struct store_app *app)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_APP_GET, &rows, store_int(id));

	return err ? err : fill(w, rows, app);
}

enum err store_app_next_generation(struct work *w, struct store_db *db, const char *provider,
	const char *client, const char *datacenter, int64_t *generation)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_APP_NEXT_GENERATION, &rows, store_text(provider),
		store_text(owner_or_null(client)), store_text(datacenter));

	if (!err)
		*generation = store_get_int(rows, 0, 0);
	return err;
}

enum err store_app_set(struct work *w, struct store_db *db, const char *provider,
	const struct store_app *app, const char *secret_ends_on, int64_t *id)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_APP_SET, &rows, store_text(provider),
		store_text(owner_or_null(app->owner)), store_text(app->datacenter),
		store_text(app->oauth_client_id),
		store_bytes(app->secret_sealed, app->secret_sealed_bytes),
		store_int(app->generation), store_text(app->redirect_uri),
		store_text(secret_ends_on), store_text(app->params_json ? app->params_json : "{}"));

	if (!err)
		*id = store_get_int(rows, 0, 0);
	return err;
}

enum err store_app_list(
	struct work *w, struct store_db *db, struct store_app_entry **apps, size_t *n)
{
	struct store_rows *rows = NULL;
	enum err err = store_run_plain(w, db, STMT_APP_LIST, &rows);

	if (err)
		return err;
	*n = (size_t)store_count(rows);
	*apps = work_alloc(w, (*n + 1) * sizeof(**apps));
	for (int i = 0; i < store_count(rows); i++)
		(*apps)[i] = (struct store_app_entry){.provider = store_get_text(rows, i, 0),
			.owner = store_get_text(rows, i, 1),
			.datacenter = store_get_text(rows, i, 2),
			.oauth_client_id = store_get_text(rows, i, 3),
			.redirect_uri = store_get_text(rows, i, 4),
			.secret_ends_on = store_get_text(rows, i, 5)};
	return ERR_OK;
}
