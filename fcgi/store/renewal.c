/*
 * Renewals: struct and row. It decides how a batch becomes one parameter and whose row an answer's
 * row is; which renewal is worth what, the statements decide.
 */
#include "store/renewal.h"

#include "base/jout.h"
#include "base/text.h"
#include "store/audit.h"
#include "store/gate.h"
#include "store/run.h"

#include <stdlib.h>

#define ROWS_MAX_BYTES ((size_t)4 * 1024 * 1024)
#define SEND_BYTES ((size_t)2 * 1024 * 1024) /* from here on, what there is goes first */
#define EVENT_PARAMS 8

/* --- parameters ------------------------------------------------------------------------------- */

static enum err check_count(struct work *w, size_t n)
{
	return n <= STORE_RENEWAL_BATCH_MAX ? ERR_OK
					    : work_cause(w, ERR_BUG, "%zu rows at once", n);
}

static void put_blob(struct jout *j, const char *key, const struct store_sealed *sealed)
{
	jout_text(j, key, sealed->bytes ? text_hex(j->buf->w, sealed->bytes, sealed->n) : NULL);
}

static void put_int_or_null(struct jout *j, const char *key, int64_t value, int is_null)
{
	if (is_null)
		jout_null(j, key);
	else
		jout_int(j, key, value);
}

/* The rows first, then what the events of a statement say of who asked. */
static void set_event_params(struct work *w, const struct store_db *db, const char *json,
	struct store_param params[EVENT_PARAMS])
{
	const struct origin *origin = &w->origin;

	params[0] = store_text(json);
	params[1] = store_text(store_audit_host());
	params[2] = store_text(work_printf(w, "%s %s", store_db_program(db), VESTAL_VERSION));
	params[3] = store_text(origin->request_id);
	params[4] = store_text(store_run_current());
	params[5] = store_text(origin->actor ? origin->actor : "anonymous");
	params[6] = store_text(origin->actor_auth ? origin->actor_auth : "none");
	params[7] = store_text(origin->address);
}

/* --- which ones ------------------------------------------------------------------------------- */

static enum err take_ids(
	struct work *w, const struct store_rows *rows, size_t limit, int64_t *ids, size_t *n)
{
	if ((size_t)store_count(rows) > limit)
		return work_cause(w, ERR_BUG, "more rows than were asked for");
	*n = (size_t)store_count(rows);
	for (int i = 0; i < store_count(rows); i++)
		ids[i] = store_get_int(rows, i, 0);
	return ERR_OK;
}

enum err store_renewal_due(struct work *w, struct store_db *db,
	const struct store_renewal_filter *filter, size_t limit, int64_t *ids, size_t *n)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_RENEWAL_DUE, &rows, store_int((int64_t)limit),
		store_text(filter->client), store_text(filter->provider));

	*n = 0;
	return err ? err : take_ids(w, rows, limit, ids, n);
}

enum err store_renewal_all(struct work *w, struct store_db *db,
	const struct store_renewal_filter *filter, int64_t after, size_t limit, int64_t *ids,
	size_t *n)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_RENEWAL_ALL, &rows, store_int((int64_t)limit),
		store_text(filter->client), store_text(filter->provider), store_int(after));

	*n = 0;
	return err ? err : take_ids(w, rows, limit, ids, n);
}

enum err store_renewal_count(struct work *w, struct store_db *db,
	const struct store_renewal_filter *filter, int all, int64_t *n)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, all ? STMT_RENEWAL_COUNT_ALL : STMT_RENEWAL_COUNT_DUE,
		&rows, store_text(filter->client), store_text(filter->provider));

	if (!err)
		*n = store_get_int(rows, 0, 0);
	return err;
}

enum err store_renewal_stale(
	struct work *w, struct store_db *db, int64_t after, size_t limit, int64_t *ids, size_t *n)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(
		w, db, STMT_RENEWAL_STALE, &rows, store_int(after), store_int((int64_t)limit));

	*n = 0;
	return err ? err : take_ids(w, rows, limit, ids, n);
}

/* --- leases ----------------------------------------------------------------------------------- */

/* "{12,500}", as PostgreSQL prints it. */
static enum err read_ages(struct work *w, const char *text, struct store_claim *claim)
{
	char *end = NULL;

	if (!text || *text++ != '{')
		return work_cause(w, ERR_DB, "not an array");
	while (*text != '}') {
		if (claim->mint_count == STORE_RENEWAL_MINTS_MAX)
			return work_cause(w, ERR_DB, "an array is too long");
		claim->mint_ages_s[claim->mint_count++] = strtoll(text, &end, 10);
		if (end == text || (*end != ',' && *end != '}'))
			return work_cause(w, ERR_DB, "not an array of numbers");
		text = *end == ',' ? end + 1 : end;
	}
	return ERR_OK;
}

enum {
	CLAIM_ID,
	CLAIM_CLIENT,
	CLAIM_PROVIDER,
	CLAIM_DATACENTER,
	CLAIM_APP,
	CLAIM_API_DOMAIN,
	CLAIM_SCOPE,
	CLAIM_FENCE,
	CLAIM_LAST_GENERATION,
	CLAIM_GENERATION,
	CLAIM_REFRESH,
	CLAIM_STATE,
	CLAIM_CAUSE,
	CLAIM_FAILURES,
	CLAIM_REFUSALS,
	CLAIM_IS_AMBIGUOUS,
	CLAIM_GRANT_IS_OVER,
	CLAIM_ACCESS_LIVES,
	CLAIM_AT,
	CLAIM_MINT_AGES,
	CLAIM_PROVIDER_GATE,
	CLAIM_PROVIDER_GATE_STATE,
	CLAIM_PROVIDER_GATE_RETRY,
	CLAIM_PROVIDER_GATE_VERSION,
	CLAIM_APP_GATE,
	CLAIM_APP_GATE_STATE,
	CLAIM_APP_GATE_RETRY
};

static struct store_gate read_gate(const struct store_rows *rows, int row, int column)
{
	return (struct store_gate){
		.id = store_get_int(rows, row, column),
		.state = store_gate_state(store_get_text(rows, row, column + 1)),
		.retry_in_s = store_get_int(rows, row, column + 2),
	};
}

static enum err read_claim(
	struct work *w, const struct store_rows *rows, int row, struct store_claim *claim)
{
	*claim = (struct store_claim){
		.connection_id = store_get_int(rows, row, CLAIM_ID),
		.app_id = store_get_int(rows, row, CLAIM_APP),
		.fence = store_get_int(rows, row, CLAIM_FENCE),
		.last_generation = store_get_int(rows, row, CLAIM_LAST_GENERATION),
		.generation = store_get_int(rows, row, CLAIM_GENERATION),
		.client = store_get_text(rows, row, CLAIM_CLIENT),
		.provider = store_get_text(rows, row, CLAIM_PROVIDER),
		.datacenter = store_get_text(rows, row, CLAIM_DATACENTER),
		.api_domain = store_get_text(rows, row, CLAIM_API_DOMAIN),
		.scope = store_get_text(rows, row, CLAIM_SCOPE),
		.state = store_get_text(rows, row, CLAIM_STATE),
		.cause = store_get_text(rows, row, CLAIM_CAUSE),
		.failures = store_get_int(rows, row, CLAIM_FAILURES),
		.refusals = store_get_int(rows, row, CLAIM_REFUSALS),
		.is_ambiguous = store_get_bool(rows, row, CLAIM_IS_AMBIGUOUS),
		.grant_is_over = store_get_bool(rows, row, CLAIM_GRANT_IS_OVER),
		.access_lives = store_get_bool(rows, row, CLAIM_ACCESS_LIVES),
		.claimed_at = store_get_text(rows, row, CLAIM_AT),
		.provider_gate = read_gate(rows, row, CLAIM_PROVIDER_GATE),
		.app_gate = read_gate(rows, row, CLAIM_APP_GATE),
	};
	claim->provider_gate.version = store_get_text(rows, row, CLAIM_PROVIDER_GATE_VERSION);
	claim->refresh.bytes = store_get_bytes(w, rows, row, CLAIM_REFRESH, &claim->refresh.n);
	return read_ages(w, store_get_text(rows, row, CLAIM_MINT_AGES), claim);
}

enum err store_renewal_claim_send(struct work *w, struct store_db *db,
	const struct store_lease *lease, const int64_t *ids, size_t n)
{
	const struct store_param params[] = {store_text(store_id_array(w, ids, n)),
		store_text(lease->owner), store_int(lease->lease_s), store_text(lease->why),
		store_int_or_null(lease->generation, lease->generation == 0)};
	enum err err = check_count(w, n);

	return err ? err
		   : store_db_send(
			     w, db, STMT_RENEWAL_CLAIM, params, sizeof(params) / sizeof(*params));
}

enum err store_renewal_claim_fetch(
	struct work *w, struct store_db *db, size_t n, struct store_claim *claims, size_t *count)
{
	struct store_rows *rows = NULL;
	enum err err = store_db_fetch(w, db, &rows);

	*count = 0;
	if (!err && (size_t)store_count(rows) > n)
		err = work_cause(w, ERR_BUG, "more claims than were asked for");
	for (int i = 0; !err && i < store_count(rows); i++)
		err = read_claim(w, rows, i, &claims[i]);
	if (!err)
		*count = (size_t)store_count(rows);
	return err;
}

enum err store_renewal_claim(struct work *w, struct store_db *db, const struct store_lease *lease,
	const int64_t *ids, size_t n, struct store_claim *claims, size_t *count)
{
	enum err err;

	*count = 0;
	if (n == 0)
		return ERR_OK;
	err = store_renewal_claim_send(w, db, lease, ids, n);
	return err ? err : store_renewal_claim_fetch(w, db, n, claims, count);
}

enum err store_renewal_release(struct work *w, struct store_db *db, const char *owner, size_t *n)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_RENEWAL_RELEASE, &rows, store_text(owner));

	*n = err ? 0 : (size_t)store_count(rows);
	return err;
}

/* --- how it is -------------------------------------------------------------------------------- */

enum err store_renewal_look(
	struct work *w, struct store_db *db, int64_t connection_id, struct store_look *look)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_RENEWAL_LOOK, &rows, store_int(connection_id));

	if (err)
		return err;
	if (store_count(rows) == 0)
		return ERR_CONNECTION_UNKNOWN;
	*look = (struct store_look){
		.generation = store_get_int(rows, 0, 0),
		.state = store_get_text(rows, 0, 1),
		.cause = store_get_text(rows, 0, 2),
		.is_leased = store_get_bool(rows, 0, 3),
		.lease_left_s = store_get_int(rows, 0, 4),
		.next_in_s = store_get_int(rows, 0, 5),
		.deferred_by = store_get_text(rows, 0, 6),
		.is_renewable = store_get_bool(rows, 0, 7),
		.lives_s = store_is_null(rows, 0, 8) ? -1 : store_get_int(rows, 0, 8),
		.gate_cause = store_get_text(rows, 0, 9),
		.failures = store_get_int(rows, 0, 10),
	};
	return ERR_OK;
}

enum err store_renewal_left(
	struct work *w, struct store_db *db, int64_t connection_id, struct store_left *left)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_RENEWAL_LEFT, &rows, store_int(connection_id));

	if (err)
		return err;
	if (store_count(rows) == 0)
		return ERR_CONNECTION_UNKNOWN;
	*left = (struct store_left){
		.fence = store_get_int(rows, 0, 0),
		.last_generation = store_get_int(rows, 0, 1),
		.generation = store_get_int(rows, 0, 2),
		.state = store_get_text(rows, 0, 3),
		.cause = store_get_text(rows, 0, 4),
		.failures = store_get_int(rows, 0, 5),
		.refusals = store_get_int(rows, 0, 6),
		.is_ambiguous = store_get_bool(rows, 0, 7),
		.grant_is_over = store_get_bool(rows, 0, 8),
		.access_lives = store_get_bool(rows, 0, 9),
		.client = store_get_text(rows, 0, 10),
		.provider = store_get_text(rows, 0, 11),
		.datacenter = store_get_text(rows, 0, 12),
		.app_id = store_get_int(rows, 0, 13),
	};
	return ERR_OK;
}

struct planning {
	store_plan_fn *fn;
	void *context;
};

static enum err hand_over(struct work *w, const struct store_rows *row, void *context)
{
	const struct planning *planning = context;
	struct store_plan plan = {
		.client = store_get_text(row, 0, 0),
		.provider = store_get_text(row, 0, 1),
		.what = store_get_text(row, 0, 2),
		.why = store_get_text(row, 0, 3),
		.overdue_s = store_get_int(row, 0, 4),
		.wait_s = store_is_null(row, 0, 5) ? -1 : store_get_int(row, 0, 5),
		.cause = store_get_text(row, 0, 6),
	};

	return planning->fn(w, &plan, planning->context);
}

enum err store_renewal_plan(struct work *w, struct store_db *db,
	const struct store_renewal_filter *filter, int all, store_plan_fn *fn, void *context)
{
	struct planning planning = {fn, context};
	const struct store_param params[] = {
		store_bool(all), store_text(filter->client), store_text(filter->provider)};

	return store_db_each(w, db, STMT_RENEWAL_PLAN, params, sizeof(params) / sizeof(*params),
		hand_over, &planning);
}

/* --- what became of it ------------------------------------------------------------------------ */

static void put_renewed(struct jout *j, const struct store_renewed *row)
{
	jout_object(j, NULL);
	jout_int(j, "id", row->connection_id);
	jout_int(j, "fence", row->fence);
	jout_int(j, "from", row->from);
	jout_int(j, "to", row->to);
	put_blob(j, "access", &row->access);
	put_blob(j, "refresh", &row->refresh);
	jout_text(j, "access_fp", row->access_fingerprint);
	jout_text(j, "refresh_fp", row->refresh_fingerprint);
	jout_text(j, "type", row->token_type);
	put_int_or_null(j, "life", row->lifetime_s, row->lifetime_s < 0);
	put_int_or_null(j, "refresh_life", row->refresh_lifetime_s, row->refresh_lifetime_s < 0);
	put_int_or_null(j, "idle", row->idle_ttl_s, row->idle_ttl_s <= 0);
	jout_text(j, "asked_at", row->asked_at);
	jout_text(j, "api_domain", row->api_domain);
	jout_text(j, "scope", row->scope);
	jout_text(j, "scope_is", row->scope_is);
	jout_int(j, "margin", row->margin_s);
	jout_int(j, "late", row->late_s);
	jout_text(j, "why", row->why);
	jout_end_object(j);
}

static enum store_settled settled_by(const char *word)
{
	return text_equal(word, "renewed")    ? STORE_RENEWED
	       : text_equal(word, "repeated") ? STORE_REPEATED
					      : STORE_SUPERSEDED;
}

/* Tokens of the largest kind, hundreds of them, go in more than one commit: repeating is harmless.
 */
enum err store_renewal_send(struct work *w, struct store_db *db, const struct store_renewed *rows,
	size_t n, size_t *sent)
{
	struct store_param params[EVENT_PARAMS];
	struct buf json;
	struct jout j;
	enum err err = check_count(w, n);

	*sent = 0;
	if (err)
		return err;
	buf_init(&json, w, ROWS_MAX_BYTES);
	jout_init(&j, &json);
	jout_array(&j, NULL);
	while (*sent < n && json.len < SEND_BYTES)
		put_renewed(&j, &rows[(*sent)++]);
	jout_end_array(&j);
	if (json.overflow)
		return work_cause(w, ERR_BUG, "a renewed token is too large");
	set_event_params(w, db, json.data, params);
	return store_db_send(w, db, STMT_RENEWAL_RENEWED, params, EVENT_PARAMS);
}

enum err store_renewal_fetch(struct work *w, struct store_db *db, const int64_t *ids, size_t n,
	enum store_settled *settled)
{
	struct store_rows *rows = NULL;
	enum err err = store_db_fetch(w, db, &rows);

	for (size_t i = 0; !err && i < n; i++)
		settled[i] = STORE_GONE;
	for (int row = 0; !err && row < store_count(rows); row++)
		for (size_t i = 0; i < n; i++)
			if (ids[i] == store_get_int(rows, row, 0))
				settled[i] = settled_by(store_get_text(rows, row, 1));
	return err;
}

enum err store_renewal_renewed(struct work *w, struct store_db *db,
	const struct store_renewed *rows, size_t n, enum store_settled *settled)
{
	int64_t ids[STORE_RENEWAL_BATCH_MAX];
	size_t sent = 0;
	enum err err = check_count(w, n);

	for (size_t i = 0; !err && i < n; i++)
		ids[i] = rows[i].connection_id;
	for (size_t first = 0; !err && first < n; first += sent) {
		struct work part; /* large */

		work_begin(&part, work_left_ms(w));
		part.origin = w->origin;
		err = store_renewal_send(&part, db, &rows[first], n - first, &sent);
		if (!err)
			err = store_renewal_fetch(&part, db, &ids[first], sent, &settled[first]);
		work_cause_of(w, err, &part);
		work_end(&part);
	}
	return err;
}

static void put_failed(struct jout *j, const struct store_failed *row)
{
	jout_object(j, NULL);
	jout_int(j, "id", row->connection_id);
	jout_int(j, "fence", row->fence);
	jout_int(j, "from", row->from);
	jout_text(j, "state", row->state);
	jout_text(j, "cause", row->cause);
	put_int_or_null(j, "wait_s", row->wait_s, row->wait_s < 0);
	jout_text(j, "deferred_by", row->deferred_by);
	jout_int(j, "refusals", row->refusals);
	jout_bool(j, "ambiguous", row->is_ambiguous);
	jout_bool(j, "asked", row->was_asked);
	jout_text(j, "code", row->code);
	jout_text(j, "why", row->why);
	jout_end_object(j);
}

enum err store_renewal_failed(
	struct work *w, struct store_db *db, const struct store_failed *rows, size_t n, int *counts)
{
	struct store_param params[EVENT_PARAMS];
	struct store_rows *judged = NULL;
	struct buf json;
	struct jout j;
	enum err err = check_count(w, n);

	if (err || n == 0)
		return err;
	buf_init(&json, w, ROWS_MAX_BYTES);
	jout_init(&j, &json);
	jout_array(&j, NULL);
	for (size_t i = 0; i < n; i++)
		put_failed(&j, &rows[i]);
	jout_end_array(&j);
	if (json.overflow)
		return work_cause(w, ERR_BUG, "failures are too large");
	set_event_params(w, db, json.data, params);
	err = store_db_run(w, db, STMT_RENEWAL_FAILED, &judged, params, EVENT_PARAMS);
	for (size_t i = 0; !err && i < n; i++)
		counts[i] = 0;
	for (int row = 0; !err && row < store_count(judged); row++)
		for (size_t i = 0; i < n; i++)
			if (rows[i].connection_id == store_get_int(judged, row, 0))
				counts[i] = store_get_bool(judged, row, 1);
	return err;
}

enum err store_renewal_deferred(
	struct work *w, struct store_db *db, const struct store_deferred *rows, size_t n)
{
	struct buf json;
	struct jout j;
	enum err err = check_count(w, n);

	if (err || n == 0)
		return err;
	buf_init(&json, w, ROWS_MAX_BYTES);
	jout_init(&j, &json);
	jout_array(&j, NULL);
	for (size_t i = 0; i < n; i++) {
		jout_object(&j, NULL);
		jout_int(&j, "id", rows[i].connection_id);
		jout_int(&j, "fence", rows[i].fence);
		put_int_or_null(&j, "wait_s", rows[i].wait_s, rows[i].wait_s < 0);
		jout_text(&j, "deferred_by", rows[i].deferred_by);
		jout_bool(&j, "is_try", rows[i].is_try);
		jout_end_object(&j);
	}
	jout_end_array(&j);
	if (json.overflow)
		return work_cause(w, ERR_BUG, "deferrals are too large");
	return store_run(w, db, STMT_RENEWAL_DEFERRED, NULL, store_text(json.data));
}
