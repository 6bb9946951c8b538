/* Checks: struct and row. */
#include "store/check.h"

#include "base/jout.h"

#include <string.h>

#define FINDINGS_MAX_BYTES ((size_t)512 * 1024)
#define FIRST_IDS 1024

/* --- which ones ------------------------------------------------------------------------------- */

struct finding_ids {
	int64_t *ids;
	size_t n, room;
};

static enum err keep(struct work *w, const struct store_rows *row, void *context)
{
	struct finding_ids *found = context;

	if (found->n == found->room) {
		const size_t room = found->room ? 2 * found->room : FIRST_IDS;
		int64_t *more = work_alloc(w, room * sizeof(*more));

		if (found->n)
			memcpy(more, found->ids, found->n * sizeof(*more));
		found->ids = more;
		found->room = room;
	}
	found->ids[found->n++] = store_get_int(row, 0, 0);
	return ERR_OK;
}

enum err store_check_find(struct work *w, struct store_db *db, const struct store_scope *scope,
	size_t limit, int64_t **ids, size_t *n)
{
	const struct store_param params[] = {
		store_text(store_scope_array(w, scope->clients, scope->client_count)),
		store_text(store_scope_array(w, scope->providers, scope->provider_count)),
		store_int((int64_t)limit),
	};
	struct finding_ids found = {0};
	enum err err = store_db_each(
		w, db, STMT_CHECK_FIND, params, sizeof(params) / sizeof(*params), keep, &found);

	*ids = found.ids;
	*n = err ? 0 : found.n;
	return err;
}

enum {
	TAKE_ID,
	TAKE_CLIENT,
	TAKE_PROVIDER,
	TAKE_DATACENTER,
	TAKE_APP,
	TAKE_API_DOMAIN,
	TAKE_SCOPE,
	TAKE_STATE,
	TAKE_GENERATION,
	TAKE_ACCESS,
	TAKE_LIVES,
	TAKE_IS_RENEWABLE,
	TAKE_IS_PASSIVE,
	TAKE_PROVIDER_GATE,
	TAKE_SHUT,
	TAKE_IS_PROVIDER_SHUT,
	TAKE_STATUS,
	TAKE_CAUSE
};

static struct store_checked read_one(struct work *w, const struct store_rows *rows, int row)
{
	struct store_checked checked = {
		.connection_id = store_get_int(rows, row, TAKE_ID),
		.client = store_get_text(rows, row, TAKE_CLIENT),
		.provider = store_get_text(rows, row, TAKE_PROVIDER),
		.datacenter = store_get_text(rows, row, TAKE_DATACENTER),
		.app_id = store_get_int(rows, row, TAKE_APP),
		.api_domain = store_get_text(rows, row, TAKE_API_DOMAIN),
		.scope = store_get_text(rows, row, TAKE_SCOPE),
		.state = store_get_text(rows, row, TAKE_STATE),
		.generation = store_get_int(rows, row, TAKE_GENERATION),
		.access_lives = store_get_bool(rows, row, TAKE_LIVES),
		.is_renewable = store_get_bool(rows, row, TAKE_IS_RENEWABLE),
		.is_passive = store_get_bool(rows, row, TAKE_IS_PASSIVE),
		.provider_gate_id = store_get_int(rows, row, TAKE_PROVIDER_GATE),
		.shut = store_get_text(rows, row, TAKE_SHUT),
		.is_provider_shut = store_get_bool(rows, row, TAKE_IS_PROVIDER_SHUT),
		.status = store_get_text(rows, row, TAKE_STATUS),
		.cause = store_get_text(rows, row, TAKE_CAUSE),
	};

	checked.access.bytes = store_get_bytes(w, rows, row, TAKE_ACCESS, &checked.access.n);
	return checked;
}

static enum err run_of_ids(struct work *w, struct store_db *db, enum stmt stmt, const int64_t *ids,
	size_t n, struct store_rows **rows)
{
	enum err err = n <= STORE_CHECK_BATCH_MAX
			       ? store_run(w, db, stmt, rows, store_text(store_id_array(w, ids, n)))
			       : work_cause(w, ERR_BUG, "%zu rows at once", n);

	if (!err && (size_t)store_count(*rows) > n)
		return work_cause(w, ERR_BUG, "more rows than were asked for");
	return err;
}

enum err store_check_take(struct work *w, struct store_db *db, const int64_t *ids, size_t n,
	struct store_checked *checked, size_t *count)
{
	struct store_rows *rows = NULL;
	enum err err = run_of_ids(w, db, STMT_CHECK_TAKE, ids, n, &rows);

	*count = 0;
	for (int row = 0; !err && row < store_count(rows); row++)
		checked[(*count)++] = read_one(w, rows, row);
	return err;
}

/* --- what was found --------------------------------------------------------------------------- */

static void put(struct jout *j, const struct store_finding *finding)
{
	jout_object(j, NULL);
	jout_int(j, "id", finding->connection_id);
	if (finding->generation)
		jout_int(j, "generation", finding->generation);
	else
		jout_null(j, "generation");
	jout_bool(j, "says", finding->says);
	jout_bool(j, "alive", finding->is_alive);
	jout_bool(j, "dead", finding->is_dead);
	jout_text(j, "found", finding->found);
	jout_text(j, "code", finding->code);
	jout_bool(j, "scope_is_whole", finding->scope_is_whole);
	jout_end_object(j);
}

enum err store_check_note(
	struct work *w, struct store_db *db, const struct store_finding *findings, size_t n)
{
	struct buf json;
	struct jout j;

	buf_init(&json, w, FINDINGS_MAX_BYTES);
	jout_init(&j, &json);
	jout_array(&j, NULL);
	for (size_t i = 0; i < n; i++)
		put(&j, &findings[i]);
	jout_end_array(&j);
	if (json.overflow)
		return work_cause(w, ERR_BUG, "findings are too large");
	return store_run(w, db, STMT_CHECK_NOTE, NULL, store_text(json.data));
}

enum err store_check_verdicts(struct work *w, struct store_db *db, const int64_t *ids, size_t n,
	struct store_verdict *verdicts, size_t *count)
{
	struct store_rows *rows = NULL;
	enum err err = run_of_ids(w, db, STMT_CHECK_VERDICTS, ids, n, &rows);

	*count = 0;
	for (int row = 0; !err && row < store_count(rows); row++)
		verdicts[(*count)++] = (struct store_verdict){
			.connection_id = store_get_int(rows, row, 0),
			.generation = store_get_int(rows, row, 1),
			.status = store_get_text(rows, row, 2),
			.cause = store_get_text(rows, row, 3),
			.action = store_get_text(rows, row, 4),
			.owner = store_get_text(rows, row, 5),
		};
	return err;
}
