/* The refresher's runs. */
#ifndef VESTAL_STORE_RUN_H
#define VESTAL_STORE_RUN_H

#include "store/db.h"

/* mode: "due", "all" or "check". Forgets runs older than keep_days. Renewals' events of this
 * process name the run from now on. */
enum err store_run_begin(struct work *w, struct store_db *db, const char *host, const char *mode,
	int64_t keep_days, int64_t *id) MUST_CHECK;

/* The run this process began, as events name it; NULL: none. */
const char *store_run_current(void);

/* counts_json: an object. error: a closed word, or NULL. */
enum err store_run_end(struct work *w, struct store_db *db, int64_t id, int exit_code,
	const char *counts_json, const char *error) MUST_CHECK;

struct store_last_run {
	const char *host, *mode, *started_at,
		*ended_at; /* ended_at NULL: it did not end yet, or never */
	int64_t age_s;
	int exit_code; /* -1: it did not end */
};

/* The newest run that renewed. Returns: ERR_NOT_FOUND when there was none. Owns: the work. */
enum err store_run_last(
	struct work *w, struct store_db *db, struct store_last_run *last) MUST_CHECK;

#endif
