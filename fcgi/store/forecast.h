/* What ends before long, and how much of a provider's cap is used. */
#ifndef VESTAL_STORE_FORECAST_H
#define VESTAL_STORE_FORECAST_H

#include "store/db.h"

/* What ends within 7 days: "grant" (the grant itself), "idle" (unless it is used), "secret" (an
 * app's). */
struct store_ending {
	const char *what, *provider, *datacenter, *at;
	const char *client; /* NULL: the app of everybody */
	int64_t left_s;     /* below 0: it is over */
};

typedef enum err store_ending_fn(struct work *w, const struct store_ending *ending, void *context);

/* client, provider: NULL, all of them. */
enum err store_forecast_ends(struct work *w, struct store_db *db, const char *client,
	const char *provider, store_ending_fn *fn, void *context) MUST_CHECK;

/* Refresh tokens of a client and an app, where there is more than one. */
struct store_grants {
	const char *client, *provider;
	int64_t in_use, replaced; /* replaced: and perhaps still alive at the provider */
};

typedef enum err store_grants_fn(struct work *w, const struct store_grants *grants, void *context);

enum err store_forecast_grants(struct work *w, struct store_db *db, const char *client,
	const char *provider, store_grants_fn *fn, void *context) MUST_CHECK;

#endif
