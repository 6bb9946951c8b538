/*
 * A run from its row to its end. It decides the order, and what may still be done behind a fault:
 * renewals do not wait for a spool that cannot be settled, and nothing waits behind a failed run.
 */
#include "refresh/run.h"

#include "base/clock.h"
#include "base/log.h"
#include "ctl/explain.h"
#include "custody/mail.h"
#include "store/attempt.h"
#include "store/audit.h"
#include "store/run.h"
#include "store/token.h"

#include <inttypes.h>

#define JOB_HEAP_BYTES ((size_t)64 * 1024) /* with what waits for the database after it */
#define AHEAD_LEAST ((size_t)64) /* a few renewals, and many tokens for the other stores */
#define KEEP_RUNS_DAYS 90
#define KEEP_ATTEMPTS_DAYS 90
#define SWEEP_MOST 1000
#define FLOW_LEAST_S 600
#define REVOKE_MS 10000 /* renewals do not wait longer for what was removed */
#define FLOW_CALLS 4    /* a callback asks a provider three times at most */

struct run {
	struct work *w;
	const struct custody *c;
	const struct refresh_options *options;
	struct store_renewal_filter filter;
	struct refresh_output *output;
	struct refresh_result *result;
	struct custody_run renewals;
	struct custody_check check;
};

size_t refresh_run_heap_bytes(int64_t concurrency)
{
	const size_t sent = (size_t)concurrency, ahead = custody_renewer_ahead(sent);
	const size_t jobs = sent + (ahead > AHEAD_LEAST ? ahead : AHEAD_LEAST);
	size_t bytes = CUSTODY_HEAP_BYTES;

	while (bytes < jobs * JOB_HEAP_BYTES && bytes < REFRESH_HEAP_MAX_BYTES)
		bytes *= 2;
	return bytes;
}

const char *refresh_run_explain(struct work *w, const struct conf *conf, enum err err)
{
	const char *text = ctl_explain_fault(w, conf, err);

	if (err != ERR_IO || w->detail || w->fault_count || !conf->text[CONF_state_dir])
		return text;
	return work_printf(w, "%s: is %s/spool there, writable and not full?", text,
		conf_text(conf, CONF_state_dir));
}

/* Keeps the first fault for the end; the run goes on, or does not. Returns err. */
static enum err note(struct run *r, const char *step, enum err err)
{
	struct refresh_result *result = r->result;

	if (!err)
		return err;
	log_event(LOG_WARN, "run.failed", LOG_TEXT("step", step), LOG_TEXT("error", err_slug(err)),
		LOG_TEXT("why", r->w->cause));
	if (!result->err) {
		result->err = err;
		result->why = work_printf(
			r->w, "%s: %s", step, refresh_run_explain(r->w, r->c->conf, err));
	}
	work_forgive(r->w);
	return err;
}

/* --- steps ----------------------------------------------------------------------------------- */

/* Everything the run writes from here on names it. */
static enum err begin(struct run *r)
{
	struct work *w = r->w;
	struct refresh_result *result = r->result;
	enum err err = store_db_ready(w, r->c->db);

	if (!err)
		err = store_run_begin(
			w, r->c->db, result->host, result->mode, KEEP_RUNS_DAYS, &result->id);
	if (!err)
		w->origin = (struct origin){.actor = "system:refresh",
			.actor_auth = "cron",
			.request_id = work_printf(w, "run-%" PRId64, result->id)};
	return err;
}

/* A spool that cannot be settled keeps its connections' leases, and they alone wait. */
static enum err recover(struct run *r)
{
	enum err err = note(r, "recovery", custody_recover(r->w, r->c, &r->result->recovered));

	return err == ERR_IO ? ERR_OK : err;
}

/* What was removed harms no renewal, whatever becomes of it. */
static void revoke_removed(struct run *r)
{
	int64_t until_ms = clock_monotonic_ms() + REVOKE_MS;

	if (until_ms > r->renewals.deadline_ms)
		until_ms = r->renewals.deadline_ms;
	note(r, "revocation",
		custody_revoke_pending(
			r->w, r->c, until_ms, r->renewals.stop, &r->result->revoked));
}

static enum err renew(struct run *r)
{
	struct refresh_result *result = r->result;
	int is_all = r->options->mode == REFRESH_ALL;
	enum err err = store_renewal_count(r->w, r->c->db, &r->filter, is_all, &result->due);

	if (err) {
		result->due = -1;
		return note(r, "renewal", err);
	}
	refresh_output_expect(r->output, result->due);
	err = custody_renew_run(r->w, r->c, &r->renewals);
	refresh_output_calm(r->output);
	for (int i = 0; i < CUSTODY_OUTCOME_COUNT; i++)
		result->counts[i] = r->renewals.counts[i];
	result->distributed = r->renewals.distributed;
	result->behind = r->renewals.not_distributed;
	result->is_cut_short = r->renewals.is_cut_short;
	result->renewal_ms = r->renewals.renewal_ms;
	return note(r, "renewal", err);
}

static enum err check(struct run *r)
{
	struct refresh_result *result = r->result;
	const struct store_report_query all = {.scope = r->check.scope};
	int64_t unhealthy = 0;
	enum err err = store_report_count(r->w, r->c->db, &all, &r->check.total, &unhealthy);

	if (err)
		return note(r, "check", err);
	refresh_output_expect(r->output, r->check.total);
	err = custody_check(r->w, r->c, &r->check);
	refresh_output_calm(r->output);
	for (int i = 0; i < CUSTODY_FOUND_COUNT; i++)
		result->found[i] = r->check.counts[i];
	result->checked = (int64_t)r->check.checked;
	result->unhealthy = (int64_t)r->check.unhealthy;
	result->remaining = r->check.total - result->checked;
	result->is_cut_short = !err && result->remaining > 0;
	return note(r, "check", err);
}

static enum err look_ahead(struct run *r)
{
	enum err err = store_db_ready(r->w, r->c->db);

	if (!err)
		err = custody_forecast(r->w, r->c, r->filter.client, r->filter.provider,
			refresh_output_warn, r->output);
	return note(r, "forecast", err);
}

static enum err count_need(struct run *r)
{
	struct refresh_result *result = r->result;
	enum err err = store_db_ready(r->w, r->c->db); /* the last renewal may be long ago */

	if (!err)
		err = store_report_need_person(
			r->w, r->c->db, r->filter.client, r->filter.provider, &result->need);
	result->is_need_known = !err;
	return note(r, "health", err);
}

/* What only has to be done now and then, and harms nobody when it is late. */
static enum err keep_house(struct run *r)
{
	const int64_t calls_s = FLOW_CALLS * conf_number(r->c->conf, CONF_provider_timeout_s);
	struct store_swept swept = {0};
	int64_t made = 0, pruned = 0;
	enum err err =
		note(r, "audit partitions", store_audit_make_partitions(r->w, r->c->db, &made));

	if (!err)
		err = note(r, "authorization attempts",
			store_attempt_sweep(r->w, r->c->db,
				calls_s > FLOW_LEAST_S ? calls_s : FLOW_LEAST_S, KEEP_ATTEMPTS_DAYS,
				SWEEP_MOST, &swept));
	if (!err)
		err = note(r, "token history",
			store_token_prune(r->w, r->c->db,
				conf_number(r->c->conf, CONF_token_history_days), SWEEP_MOST,
				&pruned));
	if (!err &&
		(made || swept.expired || swept.lost || swept.forgotten || swept.wiped || pruned))
		log_event(LOG_INFO, "run.swept", LOG_INT("partitions", made),
			LOG_INT("expired", swept.expired), LOG_INT("lost", swept.lost),
			LOG_INT("forgotten", swept.forgotten), LOG_INT("wiped", swept.wiped),
			LOG_INT("tokens", pruned));
	return err;
}

/* Tried once, also when the database is what failed: it may be back. */
static void end(struct run *r)
{
	struct refresh_result *result = r->result;
	enum err err;

	result->ended_ms = clock_wall_ms();
	if (!result->id)
		return;
	err = store_db_ready(r->w, r->c->db);
	if (!err)
		err = store_run_end(r->w, r->c->db, result->id,
			refresh_summary_exit_code(result->err, &result->need),
			refresh_summary_counts(r->w, result),
			result->err ? err_slug(result->err) : NULL);
	note(r, "end", err);
}

/* Last, when nothing waits for it any more; a mail that does not go is no fault of the run's. */
static void send_mail(struct run *r)
{
	const int64_t left_ms = r->renewals.deadline_ms - clock_monotonic_ms();
	struct custody_mailed mailed;
	struct work w;
	enum err err;

	if (!r->result->id || left_ms <= 0 || (r->renewals.stop && *r->renewals.stop))
		return;
	work_begin(&w, left_ms < CUSTODY_MAIL_RUN_MS ? left_ms : CUSTODY_MAIL_RUN_MS);
	w.origin = r->w->origin;
	err = custody_mail_run(&w, r->c, &mailed);
	if (err || mailed.sent || mailed.failed)
		log_event(err || mailed.failed ? LOG_WARN : LOG_INFO, "mail.done",
			LOG_INT("sent", (int64_t)mailed.sent),
			LOG_INT("failed", (int64_t)mailed.failed),
			LOG_TEXT("error", err ? err_slug(err) : NULL),
			LOG_TEXT("why",
				err ? refresh_run_explain(&w, r->c->conf, err) : mailed.cause));
	work_end(&w);
}

static void log_done(const struct refresh_result *result)
{
	log_event(result->err ? LOG_WARN : LOG_INFO, "run.done", LOG_INT("run", result->id),
		LOG_TEXT("mode", result->mode), LOG_INT("due", result->due),
		LOG_INT("renewed", (int64_t)result->counts[CUSTODY_RENEWED]),
		LOG_INT("deferred", (int64_t)result->counts[CUSTODY_DEFERRED]),
		LOG_INT("retry", (int64_t)result->counts[CUSTODY_RETRY]),
		LOG_INT("refused", (int64_t)result->counts[CUSTODY_REFUSED]),
		LOG_INT("dead", (int64_t)result->counts[CUSTODY_DEAD]),
		LOG_INT("ambiguous", (int64_t)result->counts[CUSTODY_AMBIGUOUS]),
		LOG_INT("app", (int64_t)result->counts[CUSTODY_APP]),
		LOG_INT("unreadable", (int64_t)result->counts[CUSTODY_UNREADABLE]),
		LOG_INT("behind", (int64_t)result->behind), LOG_INT("checked", result->checked),
		LOG_INT("unhealthy", result->unhealthy), LOG_INT("need_person", result->need.total),
		LOG_INT("cut_short", result->is_cut_short),
		LOG_INT("ms", result->ended_ms - result->began_ms),
		LOG_TEXT("error", result->err ? err_slug(result->err) : NULL));
}

/* --- the run --------------------------------------------------------------------------------- */

void refresh_run(struct work *w, const struct custody *c, const struct refresh_options *options,
	int64_t began_ms, const volatile sig_atomic_t *stop, struct refresh_output *output,
	struct refresh_result *result)
{
	const struct store_renewal_filter filter = {options->client, options->provider};
	struct run r = {.w = w,
		.c = c,
		.options = options,
		.filter = filter,
		.output = output,
		.result = result,
		.renewals = {.why = options->mode == REFRESH_ALL ? CUSTODY_WHY_ALL
								 : CUSTODY_WHY_DUE,
			.filter = filter,
			.deadline_ms = options->deadline_s ? began_ms + options->deadline_s * 1000
							   : INT64_MAX,
			.stop = stop,
			.each = refresh_output_each,
			.context = output},
		.check = {.scope = {.clients = options->client ? &options->client : NULL,
				  .client_count = options->client != NULL,
				  .providers = options->provider ? &options->provider : NULL,
				  .provider_count = options->provider != NULL},
			.concurrency = (size_t)options->concurrency,
			.most = CUSTODY_CHECK_ALL,
			.deadline_ms = options->deadline_s ? began_ms + options->deadline_s * 1000
							   : INT64_MAX,
			.stop = stop,
			.each = refresh_output_found,
			.context = output}};
	const int is_check = options->mode == REFRESH_CHECK;
	enum err err;

	*result = (struct refresh_result){.mode = refresh_mode_name(options->mode),
		.is_check = is_check,
		.host = store_audit_host(),
		.began_ms = clock_wall_ms(),
		.due = -1};
	err = note(&r, "database", begin(&r));
	if (!err)
		err = recover(&r);
	if (!err)
		revoke_removed(&r);
	if (!err)
		err = is_check ? check(&r) : renew(&r);
	if (!err)
		err = count_need(&r);
	if (!err && is_check)
		err = look_ahead(&r);
	if (!err)
		err = keep_house(&r);
	end(&r);
	log_done(result);
	send_mail(&r);
}
