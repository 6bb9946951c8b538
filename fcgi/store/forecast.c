/* The forecast: struct and row. */
#include "store/forecast.h"

struct delivery {
	store_ending_fn *ending;
	store_grants_fn *grants;
	void *context;
};

static enum err deliver_ending(struct work *w, const struct store_rows *row, void *context)
{
	const struct delivery *delivery = context;
	const struct store_ending ending = {
		.what = store_get_text(row, 0, 0),
		.client = store_get_text(row, 0, 1),
		.provider = store_get_text(row, 0, 2),
		.datacenter = store_get_text(row, 0, 3),
		.at = store_get_text(row, 0, 4),
		.left_s = store_get_int(row, 0, 5),
	};

	return delivery->ending(w, &ending, delivery->context);
}

static enum err deliver_grants(struct work *w, const struct store_rows *row, void *context)
{
	const struct delivery *delivery = context;
	const struct store_grants grants = {
		.client = store_get_text(row, 0, 0),
		.provider = store_get_text(row, 0, 1),
		.in_use = store_get_int(row, 0, 2),
		.replaced = store_get_int(row, 0, 3),
	};

	return delivery->grants(w, &grants, delivery->context);
}

static enum err each(struct work *w, struct store_db *db, enum stmt stmt, const char *client,
	const char *provider, store_row_fn *fn, struct delivery *delivery)
{
	const struct store_param params[] = {store_text(client), store_text(provider)};

	return store_db_each(w, db, stmt, params, sizeof(params) / sizeof(*params), fn, delivery);
}

enum err store_forecast_ends(struct work *w, struct store_db *db, const char *client,
	const char *provider, store_ending_fn *fn, void *context)
{
	struct delivery delivery = {.ending = fn, .context = context};

	return each(w, db, STMT_FORECAST_ENDS, client, provider, deliver_ending, &delivery);
}

enum err store_forecast_grants(struct work *w, struct store_db *db, const char *client,
	const char *provider, store_grants_fn *fn, void *context)
{
	struct delivery delivery = {.grants = fn, .context = context};

	return each(w, db, STMT_FORECAST_GRANTS, client, provider, deliver_grants, &delivery);
}
