/* Health reports: struct and row. */
#include "store/report.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* The first page is a small one, so that it comes at once; then they grow. */
#define PAGE_FIRST_ROWS 500
#define PAGE_MOST_ROWS 10000
#define TIMES 6
#define TIME_BYTES sizeof("2026-01-31T12:00:00.000Z")
#define NAME_BYTES 65 /* of a client or provider, with its end */

struct delivery {
	store_report_fn *fn;
	void *context;
	int64_t rows; /* handed over of this page */
	char client[NAME_BYTES], provider[NAME_BYTES];
	char times[TIMES][TIME_BYTES];
	size_t time_count;
};

/*
 * RFC 3339 from what PostgreSQL prints: "2026-01-31 12:00:00.123456+00", the fraction as long as it
 * has to be. Here rather than in the statement: its to_char() costs more than all the rest of a
 * row.
 */
static const char *get_time(struct delivery *delivery, const struct store_rows *row, int column)
{
	const char *text = store_get_text(row, 0, column);
	char *time = delivery->times[delivery->time_count++];

	if (!text || strlen(text) < sizeof("2026-01-31 12:00:00") - 1)
		return NULL;
	memcpy(time, "0000-00-00T00:00:00.000Z", TIME_BYTES);
	memcpy(time, text, 10);
	memcpy(time + 11, text + 11, 8);
	for (size_t i = 19; i < 23 && (text[i] == '.' || isdigit((unsigned char)text[i])); i++)
		time[i] = text[i];
	return time;
}

static void note_place(struct delivery *delivery, const struct store_report *report)
{
	snprintf(delivery->client, NAME_BYTES, "%s", report->client);
	snprintf(delivery->provider, NAME_BYTES, "%s", report->provider);
	delivery->rows++;
}

static enum err deliver(struct work *w, const struct store_rows *row, void *context)
{
	struct delivery *delivery = context;
	struct store_report report;

	delivery->time_count = 0;
	report = (struct store_report){
		.client = store_get_text(row, 0, 0),
		.provider = store_get_text(row, 0, 1),
		.status = store_get_text(row, 0, 2),
		.cause = store_get_text(row, 0, 3),
		.action = store_get_text(row, 0, 4),
		.owner = store_get_text(row, 0, 5),
		.expires_at = get_time(delivery, row, 6),
		.last_refreshed_at = get_time(delivery, row, 7),
		.last_proved_at = get_time(delivery, row, 8),
		.next_refresh_at = get_time(delivery, row, 9),
		.refresh_expires_at = get_time(delivery, row, 10),
		.failures = store_get_text(row, 0, 11),
		.last_error_code = store_get_text(row, 0, 12),
		.last_error_at = get_time(delivery, row, 13),
		.generation = store_get_text(row, 0, 14),
		.datacenter = store_get_text(row, 0, 15),
		.passive = store_get_bool(row, 0, 16),
		.copy_generation = store_get_text(row, 0, 17),
		.environment_generation = store_get_text(row, 0, 18),
	};
	note_place(delivery, &report);
	return delivery->fn(w, &report, delivery->context);
}

static enum err each_of_page(struct work *w, struct store_db *db,
	const struct store_report_query *query, int64_t limit, struct delivery *delivery)
{
	const struct store_scope *scope = &query->scope;
	const struct store_param params[] = {
		store_text(store_scope_array(w, scope->clients, scope->client_count)),
		store_text(store_scope_array(w, scope->providers, scope->provider_count)),
		store_text(store_scope_array(w, query->statuses, query->status_count)),
		store_text(delivery->client),
		store_text(delivery->provider),
		store_int(limit),
	};
	const size_t n = sizeof(params) / sizeof(*params);

	delivery->rows = 0;
	if (scope->clients)
		return store_db_each(w, db, STMT_REPORT_LIST_CLIENTS, params, n, deliver, delivery);
	return store_db_each(w, db, STMT_REPORT_LIST, params + 1, n - 1, deliver, delivery);
}

enum err store_report_each(struct work *w, struct store_db *db,
	const struct store_report_query *query, store_report_fn *fn, void *context)
{
	struct delivery delivery = {.fn = fn, .context = context};
	int64_t left = query->limit ? query->limit : INT64_MAX, rows = PAGE_FIRST_ROWS;

	if (query->after_client)
		note_place(&delivery, &(struct store_report){.client = query->after_client,
					      .provider = query->after_provider});
	for (;;) {
		int64_t limit = left < rows ? left : rows;
		enum err err = each_of_page(w, db, query, limit, &delivery);

		left -= delivery.rows;
		rows = rows * 4 < PAGE_MOST_ROWS ? rows * 4 : PAGE_MOST_ROWS;
		if (err || delivery.rows < limit || !left)
			return err;
	}
}

enum err store_report_some(struct work *w, struct store_db *db, const int64_t *ids, size_t n,
	store_report_fn *fn, void *context)
{
	const struct store_param params[] = {store_text(store_id_array(w, ids, n))};
	struct delivery delivery = {.fn = fn, .context = context};

	return store_db_each(w, db, STMT_REPORT_SOME, params, 1, deliver, &delivery);
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

enum err store_report_need_link(
	struct work *w, struct store_db *db, struct store_needed **needed, size_t *n)
{
	struct store_rows *rows = NULL;
	enum err err = store_run_plain(w, db, STMT_REPORT_NEED_LINK, &rows);

	if (err)
		return err;
	*n = (size_t)store_count(rows);
	*needed = work_alloc(w, (*n + 1) * sizeof(**needed));
	for (int i = 0; i < store_count(rows); i++)
		(*needed)[i] = (struct store_needed){
			store_get_text(rows, i, 0), store_get_text(rows, i, 1)};
	return ERR_OK;
}
