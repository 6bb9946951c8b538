/* Gates: struct and row. When one opens and who may try, the statements decide. */
#include "store/gate.h"

#include "base/text.h"

#define RESUME_MAX 500       /* rows locked at a time */
#define RESUME_SPARE_MS 5000 /* left for the work's own end */

static struct store_param app_of(const struct store_gate_key *key)
{
	return store_int_or_null(key->app_id, key->app_id == 0);
}

enum store_gate_state store_gate_state(const char *word)
{
	return text_equal(word, "open")        ? STORE_GATE_OPEN
	       : text_equal(word, "half_open") ? STORE_GATE_HALF_OPEN
					       : STORE_GATE_CLOSED;
}

enum err store_gate_note(struct work *w, struct store_db *db, const struct store_gate_note *note,
	struct store_gate_change *change)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_GATE_NOTE, &rows, store_text(note->key.provider),
		store_text(note->key.datacenter), app_of(&note->key), store_int(note->good),
		store_int(note->bad), store_text(note->code), store_text(note->cause),
		store_int(note->threshold), store_int(note->first_s), store_int(note->longest_s),
		store_text(note->version));

	*change = (struct store_gate_change){0};
	if (!err && store_count(rows))
		*change = (struct store_gate_change){
			.id = store_get_int(rows, 0, 0),
			.state = store_gate_state(store_get_text(rows, 0, 1)),
			.opened = store_get_bool(rows, 0, 2),
			.closed = store_get_bool(rows, 0, 3),
			.retry_in_s = store_get_int(rows, 0, 4),
		};
	return err;
}

enum err store_gate_ensure(struct work *w, struct store_db *db, const struct store_gate_key *key)
{
	return store_run(w, db, STMT_GATE_ENSURE, NULL, store_text(key->provider),
		store_text(key->datacenter), app_of(key));
}

enum err store_gate_try(
	struct work *w, struct store_db *db, int64_t id, int64_t try_s, int *is_mine)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_GATE_TRY, &rows, store_int(id), store_int(try_s));

	*is_mine = !err && store_count(rows) == 1;
	return err;
}

enum err store_gate_meter(struct work *w, struct store_db *db, const struct store_gate_key *key,
	int64_t connection_id, int64_t share, int64_t window_s, struct store_meter *meter)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_GATE_METER, &rows, store_text(key->provider),
		store_text(key->datacenter), app_of(key), store_int(connection_id),
		store_int(share), store_int(window_s));

	*meter = (struct store_meter){0};
	if (!err)
		*meter = (struct store_meter){store_get_text(rows, 0, 0), store_get_int(rows, 0, 1),
			store_get_int(rows, 0, 2)};
	return err;
}

enum err store_gate_mended(
	struct work *w, struct store_db *db, struct store_gate_key **keys, size_t *n)
{
	struct store_rows *rows = NULL;
	enum err err = store_run_plain(w, db, STMT_GATE_MENDED, &rows);

	*n = 0;
	if (err)
		return err;
	*n = (size_t)store_count(rows);
	*keys = work_alloc(w, (*n + 1) * sizeof(**keys));
	for (int i = 0; i < store_count(rows); i++)
		(*keys)[i] = (struct store_gate_key){
			.provider = store_get_text(rows, i, 0),
			.datacenter = store_get_text(rows, i, 1),
			.app_id = store_get_int(rows, i, 2),
		};
	return ERR_OK;
}

/* Some at a time, so that nobody waits long for a row. What is left when the work has to end comes
 * when its own time comes. */
enum err store_gate_resume(struct work *w, struct store_db *db, const struct store_gate_key *key,
	int64_t spread_s, size_t *n)
{
	struct store_rows *rows = NULL;
	int64_t resumed;
	enum err err;

	*n = 0;
	do {
		err = store_run(w, db, STMT_GATE_RESUME, &rows, store_text(key->provider),
			store_text(key->datacenter), app_of(key), store_int(RESUME_MAX),
			store_int(spread_s));
		resumed = err ? 0 : store_get_int(rows, 0, 0);
		*n += (size_t)resumed;
	} while (resumed == RESUME_MAX && work_left_ms(w) > RESUME_SPARE_MS);
	return err;
}

enum err store_gate_death(struct work *w, struct store_db *db, const struct store_gate_key *key,
	int64_t n, int64_t window_s, int64_t *lately)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_GATE_DEATH, &rows, store_text(key->provider),
		store_text(key->datacenter), store_int(n), store_int(window_s));

	*lately = !err && store_count(rows) ? store_get_int(rows, 0, 0) : 0;
	return err;
}

enum err store_gate_quiet(struct work *w, struct store_db *db, int64_t quiet_s,
	struct store_gate_quiet **quiet, size_t *n)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_GATE_QUIET, &rows, store_int(quiet_s));

	*n = err ? 0 : (size_t)store_count(rows);
	*quiet = work_alloc(w, (*n + 1) * sizeof(**quiet));
	for (size_t i = 0; i < *n; i++)
		(*quiet)[i] = (struct store_gate_quiet){
			.id = store_get_int(rows, (int)i, 0),
			.key = {store_get_text(rows, (int)i, 1), store_get_text(rows, (int)i, 2),
				store_get_int(rows, (int)i, 3)},
		};
	return err;
}
