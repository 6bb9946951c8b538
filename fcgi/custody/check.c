/*
 * Checks. It decides what is one commit (a batch: findings, judgements, events, incidents) and who
 * is told; what an answer proves is proof's business, how a row is judged the view's.
 */
#include "custody/check.h"

#include "base/clock.h"
#include "base/jout.h"
#include "base/text.h"
#include "custody/account.h"
#include "custody/prober.h"
#include "custody/trouble.h"
#include "store/audit.h"
#include "store/connection.h"
#include "store/gate.h"
#include "store/report.h"

#include <stdio.h>
#include <string.h>

#define BATCH_LEAST 32
#define DETAIL_MAX_BYTES 2048
#define TRIES 3          /* of a commit that others were in the way of */
#define WRITING_MS 30000 /* what was found is written, however late it is */
#define RENEWAL_SPARE_MS 15000
#define BUSY_S 30

struct checking {
	struct work *w;
	const struct custody *c;
	struct custody_check *check;
	struct custody_prober *prober;
};

/* A batch on its way into the database. */
struct settling {
	const struct custody *c;
	struct custody_probed **probed; /* none of them left */
	size_t n;
	struct store_verdict *verdicts; /* verdicts[i] is of probed[i] */
	size_t changed;
};

/* --- telling --------------------------------------------------------------------------------- */

static int is_healthy(const struct store_verdict *verdict)
{
	return text_equal(verdict->status, "healthy");
}

static int has_changed(const struct custody_probed *probed, const struct store_verdict *verdict)
{
	return !text_equal(probed->status, verdict->status) ||
	       !text_equal(probed->cause, verdict->cause);
}

static enum err note_change(struct work *w, struct store_db *db,
	const struct custody_probed *probed, const struct store_verdict *verdict)
{
	struct buf detail;
	struct jout j;

	buf_init(&detail, w, DETAIL_MAX_BYTES);
	jout_init(&j, &detail);
	jout_object(&j, NULL);
	jout_text(&j, "found", custody_found_name(probed->proof.found));
	jout_text(&j, "code", *probed->code ? probed->code : NULL);
	jout_text(&j, "statusBefore", probed->status);
	jout_text(&j, "causeBefore", probed->cause);
	jout_text(&j, "status", verdict->status);
	jout_text(&j, "cause", verdict->cause);
	jout_end_object(&j);
	return store_audit_add(w, db,
		&(struct store_event){.action = "health.checked",
			.client = probed->row.client,
			.provider = probed->row.provider,
			.connection_id = probed->row.connection_id,
			.generation = verdict->generation,
			.detail_json = detail.data});
}

/* Whose trouble an unhealthy connection is in. An app's and a provider's are everybody's behind
 * them, and one incident; what never worked, was taken away, is only late or ends by its time, is
 * none: the next run renews it, or the forecast tells of it. */
enum whose { NOBODYS, ITS_OWN, THE_PROVIDERS };

static enum whose trouble_of(
	const struct custody_probed *probed, const struct store_verdict *verdict)
{
	if (is_healthy(verdict) || text_equal(verdict->status, "missing") ||
		text_equal(verdict->cause, "none") ||
		text_equal(verdict->cause, "app_credentials") ||
		text_equal(verdict->action, "fix_app"))
		return NOBODYS;
	if (probed->is_provider_away)
		return probed->row.provider_gate_id ? THE_PROVIDERS : NOBODYS;
	return ITS_OWN;
}

static enum err open_incident(struct work *w, struct store_db *db,
	const struct custody_probed *probed, const struct store_verdict *verdict)
{
	const struct custody_trouble own = {probed->row.connection_id, probed->row.client,
		probed->row.provider, verdict->cause,
		work_printf(w, "a check found it %s", verdict->status),
		text_equal(verdict->cause, "ambiguous_refusal")};
	const struct custody_gate_trouble providers = {
		.gate_id = probed->row.provider_gate_id,
		.provider = probed->row.provider,
		.datacenter = probed->row.datacenter,
		.cause = "provider_outage",
		.reason = "a check got no answer that could be used, several times in a row",
	};
	int64_t incident_id = 0;

	switch (trouble_of(probed, verdict)) {
	case ITS_OWN:
		return custody_trouble_open(w, db, &own, &incident_id);
	case THE_PROVIDERS:
		return custody_trouble_open_gate(w, db, &providers, &incident_id);
	case NOBODYS:
		break;
	}
	return ERR_OK;
}

/* --- a batch's commit ------------------------------------------------------------------------- */

static struct store_finding finding_of(const struct custody_probed *probed)
{
	return (struct store_finding){
		.connection_id = probed->row.connection_id,
		.generation = probed->row.generation,
		.says = probed->proof.says,
		.is_alive = probed->proof.is_alive,
		.is_dead = probed->proof.is_dead,
		.found = probed->proof.cause,
		.code = probed->proof.says && *probed->code ? probed->code : NULL,
		.scope_is_whole = probed->scope_is_whole,
	};
}

/* The answer comes in any order; a connection that was taken away meanwhile has none, and is as it
 * was. */
static enum err read_verdicts(struct work *w, struct store_db *db, struct settling *s)
{
	struct store_verdict *found = work_alloc(w, (s->n + 1) * sizeof(*found));
	int64_t *ids = work_alloc(w, (s->n + 1) * sizeof(*ids));
	size_t count = 0;
	enum err err;

	for (size_t i = 0; i < s->n; i++) {
		ids[i] = s->probed[i]->row.connection_id;
		s->verdicts[i] = (struct store_verdict){ids[i], s->probed[i]->row.generation,
			s->probed[i]->status, s->probed[i]->cause, "none", "none"};
	}
	err = store_check_verdicts(w, db, ids, s->n, found, &count);
	for (size_t k = 0; !err && k < count; k++)
		for (size_t i = 0; i < s->n; i++)
			if (ids[i] == found[k].connection_id)
				s->verdicts[i] = found[k];
	return err;
}

/* Another account than the one an administrator let in: alive, and not what should serve there. */
static enum err compare_account(
	struct work *w, struct store_db *db, const struct custody *c, struct custody_probed *probed)
{
	const struct custody_account_seen seen = {probed->row.connection_id, probed->row.generation,
		probed->row.client, probed->row.provider, probed->account};
	enum custody_account_is is = CUSTODY_ACCOUNT_UNKNOWN;
	enum err err = probed->account ? custody_account_note(w, db, c, &seen, &is) : ERR_OK;

	if (err == ERR_CONNECTION_UNKNOWN) {
		work_forgive(w);
		return ERR_OK;
	}
	if (is == CUSTODY_ACCOUNT_OTHER) {
		probed->proof.found = CUSTODY_FOUND_FAULT;
		probed->proof.cause = "our_fault";
		snprintf(probed->code, sizeof(probed->code), "account_changed");
	}
	return err;
}

static enum err write_findings(struct work *w, struct store_db *db, const struct settling *s)
{
	struct store_finding *findings = work_alloc(w, (s->n + 1) * sizeof(*findings));
	int64_t *ids = work_alloc(w, (s->n + 1) * sizeof(*ids));
	enum err err;

	for (size_t i = 0; i < s->n; i++)
		ids[i] = s->probed[i]->row.connection_id;
	err = store_connection_lock_many(w, db, ids, s->n);
	for (size_t i = 0; !err && i < s->n; i++) {
		err = compare_account(w, db, s->c, s->probed[i]);
		findings[i] = finding_of(s->probed[i]);
	}
	for (size_t i = 0; !err && i < s->n; i++)
		if (s->probed[i]->proof.found == CUSTODY_FOUND_UNREADABLE)
			err = custody_trouble_unreadable(w, db, ids[i], s->probed[i]->row.client,
				s->probed[i]->row.provider, s->probed[i]->row.generation);
	return err ? err : store_check_note(w, db, findings, s->n);
}

static enum err tell(struct work *w, struct store_db *db, struct settling *s)
{
	struct custody_mended *mended = work_alloc(w, (s->n + 1) * sizeof(*mended));
	size_t count = 0;
	enum err err = ERR_OK;

	s->changed = 0;
	for (size_t i = 0; !err && i < s->n; i++) {
		const struct custody_probed *probed = s->probed[i];
		const struct store_verdict *verdict = &s->verdicts[i];

		if (has_changed(probed, verdict)) {
			s->changed++;
			err = note_change(w, db, probed, verdict);
		}
		if (!err)
			err = open_incident(w, db, probed, verdict);
		if (is_healthy(verdict))
			mended[count++] =
				(struct custody_mended){verdict->connection_id, verdict->generation,
					probed->row.client, probed->row.provider, verdict->cause};
	}
	return err ? err : custody_trouble_resolve(w, db, mended, count);
}

static enum err settle(struct work *w, struct store_db *db, void *context)
{
	struct settling *s = context;
	enum err err = write_findings(w, db, s);

	if (!err)
		err = read_verdicts(w, db, s);
	return err ? err : tell(w, db, s);
}

static enum err commit(struct work *w, struct checking *k, struct settling *s)
{
	enum err err = store_db_ready(w, k->c->db);

	if (!err && k->check->is_dry)
		return read_verdicts(w, k->c->db, s);
	for (int i = 0; !err && i < TRIES; i++) {
		err = store_db_transaction(w, k->c->db, settle, s);
		if (err != ERR_CONFLICT)
			break;
		if (i + 1 < TRIES) {
			work_forgive(w);
			err = ERR_OK;
		}
	}
	return err;
}

/* --- a batch --------------------------------------------------------------------------------- */

static void report(struct checking *k, const struct settling *s)
{
	struct custody_check *check = k->check;

	for (size_t i = 0; i < s->n; i++) {
		const struct custody_probed *probed = s->probed[i];
		const struct store_verdict *verdict = &s->verdicts[i];
		const int would_ask = probed->proof.found == CUSTODY_FOUND_COUNT;
		const struct custody_finding finding = {verdict->connection_id, verdict->generation,
			probed->row.client, probed->row.provider, would_ask,
			would_ask ? CUSTODY_FOUND_PROVED : probed->proof.found, probed->code,
			verdict->status, verdict->cause, verdict->action, verdict->owner,
			has_changed(probed, verdict)};

		check->ids[check->checked++] = verdict->connection_id;
		check->unhealthy += !is_healthy(verdict);
		if (!would_ask)
			check->counts[probed->proof.found]++;
		if (check->each)
			check->each(check->context, &finding);
	}
	check->changed += s->changed;
}

/* Nobody is asked: only what a check would do. */
static void look(struct checking *k, struct custody_probed *probed, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (custody_prober_would_ask(k->prober, &probed[i]))
			probed[i].proof.found = CUSTODY_FOUND_COUNT;
}

static enum err write_batch(
	struct work *w, struct checking *k, struct custody_probed *probed, size_t n)
{
	struct settling s = {.c = k->c,
		.probed = work_alloc(w, (n + 1) * sizeof(*s.probed)),
		.verdicts = work_alloc(w, (n + 1) * sizeof(*s.verdicts))};
	struct work own;
	enum err err;

	for (size_t i = 0; i < n; i++)
		if (!probed[i].is_left)
			s.probed[s.n++] = &probed[i];
	if (!s.n)
		return ERR_OK;
	work_begin(&own, WRITING_MS);
	own.origin = w->origin;
	err = commit(&own, k, &s);
	if (!err)
		report(k, &s);
	else
		work_cause(k->w, err, "%s", own.cause ? own.cause : err_slug(err));
	work_end(&own);
	return err;
}

static int64_t renewals_ms(const struct checking *k)
{
	return 2 * conf_number(k->c->conf, CONF_provider_timeout_s) * 1000 + RENEWAL_SPARE_MS;
}

static enum err check_batch(struct checking *k, const int64_t *ids, size_t n)
{
	struct store_checked *rows;
	struct custody_probed *probed;
	struct work w;
	size_t count = 0;
	enum err err;

	work_begin(&w, work_left_ms(k->w) < renewals_ms(k) ? work_left_ms(k->w) : INT32_MAX);
	w.origin = k->w->origin;
	rows = work_alloc(&w, n * sizeof(*rows));
	probed = work_alloc(&w, n * sizeof(*probed));
	memset(probed, 0, n * sizeof(*probed));
	err = store_db_ready(&w, k->c->db);
	if (!err)
		err = store_check_take(&w, k->c->db, ids, n, rows, &count);
	for (size_t i = 0; i < count; i++)
		probed[i] = (struct custody_probed){
			.row = rows[i], .status = rows[i].status, .cause = rows[i].cause};
	if (!err && k->check->is_dry)
		look(k, probed, count);
	else if (!err)
		err = custody_prober_ask(&w, k->prober, probed, count);
	if (err)
		work_cause(k->w, err, "%s", w.cause ? w.cause : err_slug(err));
	else
		err = write_batch(&w, k, probed, count);
	k->check->total -= (int64_t)(n - count); /* taken away meanwhile */
	work_end(&w);
	return err;
}

/* --- the check ------------------------------------------------------------------------------- */

static const char *only(const char *const *words, size_t n)
{
	return words && n == 1 ? words[0] : NULL;
}

static enum err note_check(struct checking *k, enum err failed)
{
	const struct custody_check *check = k->check;
	struct work w;
	struct buf detail;
	struct jout j;
	enum err err;

	work_begin(&w, WRITING_MS);
	w.origin = k->w->origin;
	buf_init(&detail, &w, DETAIL_MAX_BYTES);
	jout_init(&j, &detail);
	jout_object(&j, NULL);
	jout_int(&j, "checked", (int64_t)check->checked);
	jout_int(&j, "unhealthy", (int64_t)check->unhealthy);
	jout_int(&j, "changed", (int64_t)check->changed);
	jout_int(&j, "remaining", check->total - (int64_t)check->checked);
	for (int i = 0; i < CUSTODY_FOUND_COUNT; i++)
		if (check->counts[i])
			jout_int(&j, custody_found_name((enum custody_found)i),
				(int64_t)check->counts[i]);
	jout_end_object(&j);
	err = store_db_ready(&w, k->c->db);
	if (!err)
		err = store_audit_add(&w, k->c->db,
			&(struct store_event){.action = "health.checked",
				.outcome = failed ? "error" : NULL,
				.client = only(check->scope.clients, check->scope.client_count),
				.provider =
					only(check->scope.providers, check->scope.provider_count),
				.reason = failed ? err_slug(failed) : NULL,
				.detail_json = detail.data});
	if (err)
		work_cause(k->w, err, "%s", w.cause ? w.cause : err_slug(err));
	work_end(&w);
	return err;
}

static enum err find(struct checking *k, int64_t **ids, size_t *n)
{
	struct custody_check *check = k->check;
	const struct store_report_query query = {.scope = check->scope};
	int64_t unhealthy = 0;
	enum err err = store_db_ready(k->w, k->c->db);

	if (!err)
		err = store_report_count(k->w, k->c->db, &query, &check->total, &unhealthy);
	if (!err)
		err = store_check_find(k->w, k->c->db, &check->scope, check->most, ids, n);
	return err;
}

static size_t batch_of(const struct custody_check *check)
{
	const size_t wanted = 4 * check->concurrency;

	return wanted < BATCH_LEAST             ? BATCH_LEAST
	       : wanted > STORE_CHECK_BATCH_MAX ? STORE_CHECK_BATCH_MAX
						: wanted;
}

enum err custody_check(struct work *w, const struct custody *c, struct custody_check *check)
{
	const struct custody_probing probing = {
		check->concurrency, check->deadline_ms, check->stop};
	struct checking k = {.w = w, .c = c, .check = check};
	const size_t batch = batch_of(check);
	int64_t *ids = NULL;
	struct work shared;
	size_t n = 0;
	enum err err = find(&k, &ids, &n), noted;

	check->ids = work_alloc(w, (n + 1) * sizeof(*check->ids));
	work_begin(&shared, INT32_MAX);
	k.prober = custody_prober_new(&shared, c, &probing);
	for (size_t at = 0; !err && at < n && !custody_prober_must_stop(k.prober); at += batch)
		err = check_batch(&k, ids + at, n - at < batch ? n - at : batch);
	work_end(&shared);
	noted = check->is_dry ? ERR_OK : note_check(&k, err);
	return err ? err : noted;
}

enum err custody_check_now(struct work *w, const struct custody *c,
	const struct custody_places *places, struct custody_check *check)
{
	const int64_t set = conf_number(c->conf, CONF_renew_concurrency);
	const int64_t spare_ms =
		conf_number(c->conf, CONF_provider_timeout_s) * 1000 + RENEWAL_SPARE_MS / 3;
	struct custody_place place;
	enum err err;

	if (!c->renewer || !places)
		return work_cause(w, ERR_BUG, "this pool asks nobody");
	if (!custody_place_to_renew(w, c, places, "check", &place)) {
		w->retry_after_s = BUSY_S;
		return work_fail(w, ERR_BUSY, "Other checks are under way; try again later.");
	}
	check->concurrency =
		set < CUSTODY_CHECK_AT_ONCE ? (size_t)set : (size_t)CUSTODY_CHECK_AT_ONCE;
	check->most = CUSTODY_CHECK_MOST;
	check->deadline_ms = clock_monotonic_ms() + work_left_ms(w) - spare_ms;
	err = custody_check(w, c, check);
	custody_place_leave(&place);
	return err;
}
