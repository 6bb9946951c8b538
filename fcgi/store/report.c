/* Health reports: struct and row. */
#include "store/report.h"

struct delivery {
	store_report_fn *fn;
	void *context;
};

static enum err deliver(struct work *w, const struct store_rows *row, void *context)
{
	const struct delivery *delivery = context;
	struct store_report report = {
		.client = store_get_text(row, 0, 0),
		.provider = store_get_text(row, 0, 1),
		.status = store_get_text(row, 0, 2),
		.cause = store_get_text(row, 0, 3),
		.action = store_get_text(row, 0, 4),
		.owner = store_get_text(row, 0, 5),
		.expires_at = store_get_text(row, 0, 6),
		.last_refreshed_at = store_get_text(row, 0, 7),
		.last_proved_at = store_get_text(row, 0, 8),
		.next_refresh_at = store_get_text(row, 0, 9),
		.refresh_expires_at = store_get_text(row, 0, 10),
		.failures = store_get_text(row, 0, 11),
		.last_error_code = store_get_text(row, 0, 12),
		.last_error_at = store_get_text(row, 0, 13),
		.generation = store_get_text(row, 0, 14),
		.datacenter = store_get_text(row, 0, 15),
		.passive = store_get_bool(row, 0, 16),
		.copy_generation = store_get_text(row, 0, 17),
		.environment_generation = store_get_text(row, 0, 18),
	};

	return delivery->fn(w, &report, delivery->context);
}

enum err store_report_each(struct work *w, struct store_db *db,
	const struct store_report_query *query, store_report_fn *fn, void *context)
{
	const struct store_param params[] = {
		store_text(store_scope_array(w, query->scope.clients, query->scope.client_count)),
		store_text(
			store_scope_array(w, query->scope.providers, query->scope.provider_count)),
		store_text(store_scope_array(w, query->statuses, query->status_count)),
		store_text(query->after_client),
		store_text(query->after_provider ? query->after_provider : ""),
		store_int_or_null(query->limit, query->limit == 0),
	};
	struct delivery delivery = {fn, context};

	return store_db_each(w, db, STMT_REPORT_LIST, params, sizeof(params) / sizeof(*params),
		deliver, &delivery);
}

enum err store_report_count(struct work *w, struct store_db *db,
	const struct store_report_query *query, int64_t *total, int64_t *unhealthy)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_REPORT_COUNT, &rows,
		store_text(store_scope_array(w, query->scope.clients, query->scope.client_count)),
		store_text(
			store_scope_array(w, query->scope.providers, query->scope.provider_count)),
		store_text(store_scope_array(w, query->statuses, query->status_count)));

	if (err)
		return err;
	*total = store_get_int(rows, 0, 0);
	*unhealthy = store_get_int(rows, 0, 1);
	return ERR_OK;
}

enum err store_report_one(struct work *w, struct store_db *db, int64_t connection_id,
	const char **status, const char **cause)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_REPORT_ONE, &rows, store_int(connection_id));

	if (err)
		return err;
	if (store_count(rows) == 0)
		return ERR_CONNECTION_UNKNOWN;
	*status = store_get_text(rows, 0, 0);
	*cause = store_get_text(rows, 0, 1);
	return ERR_OK;
}

enum err store_report_need_person(struct work *w, struct store_db *db, const char *client,
	const char *provider, struct store_need *need)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(
		w, db, STMT_REPORT_NEED_PERSON, &rows, store_text(client), store_text(provider));

	if (!err)
		*need = (struct store_need){.total = store_get_int(rows, 0, 0),
			.reauthorize = store_get_int(rows, 0, 1),
			.fix_app = store_get_int(rows, 0, 2),
			.investigate = store_get_int(rows, 0, 3)};
	return err;
}
