/* What will be wrong before long, while there is time: grants and client secrets that end, and a
 * provider's cap on grants that is nearly used up. */
#ifndef VESTAL_CUSTODY_FORECAST_H
#define VESTAL_CUSTODY_FORECAST_H

#include "base/jout.h"
#include "custody/custody.h"

struct custody_warning {
	const char *what; /* "grant_ends", "idle_ends", "secret_ends", "grants_used" */
	const char *provider, *datacenter; /* datacenter: of what ends; or NULL */
	const char *client;                /* NULL: of the app of everybody */
	const char *at;                    /* when it ends; or NULL */
	int64_t left_s;                    /* until then; below 0: it is over */
	int64_t in_use, replaced, most;    /* of grants_used: grants, and how many there may be */
	const char *text;                  /* the same in a sentence */
};

typedef enum err custody_warning_fn(
	struct work *w, const struct custody_warning *warning, void *context);

/* client, provider: NULL, all of them. Returns the database's errors. */
enum err custody_forecast(struct work *w, const struct custody *c, const char *client,
	const char *provider, custody_warning_fn *fn, void *context) MUST_CHECK;

/* Writes one as an object, the element of an array. */
void custody_forecast_json(struct jout *j, const struct custody_warning *warning);

#endif
