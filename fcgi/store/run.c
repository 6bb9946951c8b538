/* The refresher's runs: struct and row. */
#include "store/run.h"

#include <inttypes.h>
#include <stdio.h>

static char current[24]; /* of this process; "": none */

enum err store_run_begin(struct work *w, struct store_db *db, const char *host, const char *mode,
	int64_t keep_days, int64_t *id)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_RUN_PRUNE, NULL, store_int(keep_days));

	if (!err)
		err = store_run(w, db, STMT_RUN_BEGIN, &rows, store_text(host), store_text(mode));
	if (err)
		return err;
	*id = store_get_int(rows, 0, 0);
	snprintf(current, sizeof(current), "%" PRId64, *id);
	return ERR_OK;
}

const char *store_run_current(void)
{
	return current[0] ? current : NULL;
}

enum err store_run_end(struct work *w, struct store_db *db, int64_t id, int exit_code,
	const char *counts_json, const char *error)
{
	return store_run(w, db, STMT_RUN_END, NULL, store_int(id), store_int(exit_code),
		store_text(counts_json), store_text(error));
}

enum err store_run_last(struct work *w, struct store_db *db, struct store_last_run *last)
{
	struct store_rows *rows = NULL;
	enum err err = store_run_plain(w, db, STMT_RUN_LAST, &rows);

	if (err)
		return err;
	if (store_count(rows) == 0)
		return ERR_NOT_FOUND;
	*last = (struct store_last_run){
		.host = store_get_text(rows, 0, 1),
		.mode = store_get_text(rows, 0, 2),
		.started_at = store_get_text(rows, 0, 3),
		.ended_at = store_get_text(rows, 0, 4),
		.exit_code = store_is_null(rows, 0, 5) ? -1 : (int)store_get_int(rows, 0, 5),
		.age_s = store_get_int(rows, 0, 6),
	};
	return ERR_OK;
}
