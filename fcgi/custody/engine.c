/*
 * The machine. It claims ahead of the provider, so that a place is taken again the moment it is
 * free, and writes what came back in batches. What one renewal is, job knows; what becomes of it,
 * settle.
 */
#include "custody/engine.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/audit.h"

#include <stdlib.h>
#include <string.h>

#define DB_PATIENCE_MS 30000
#define LOST_RACES_MAX 20
#define POLL_MS 1000
#define COLLECT_MAX 32 /* before what is ready goes out in their place */
#define TRY_PATIENCE_MS 3000
#define TRY_AGAIN_S 15
#define WRITING_LEAST_MS 5000

/* --- opening and closing --------------------------------------------------------------------- */

/* Its answers belong to whoever recovers next, in this process or another: a lock that lives on
 * would keep them from everybody until the lease is over. */
static void leave_spool(struct custody_renewer *renewer)
{
	vault_spool_close(renewer->spool);
	renewer->spool = NULL;
}

enum err custody_engine_spool(
	struct work *w, struct custody_renewer *renewer, struct vault_spool **spool)
{
	const struct custody *c = renewer->c;
	enum err err = ERR_OK;

	if (renewer->spool && vault_spool_is_broken(renewer->spool))
		leave_spool(renewer);
	if (!renewer->spool)
		err = vault_spool_open(w, c->keyring, conf_text(c->conf, CONF_state_dir),
			store_audit_host(), renewer->capacity, &renewer->spool);
	*spool = renewer->spool;
	return err;
}

int custody_engine_must_stop(const struct custody_engine *e)
{
	return (e->run->stop && *e->run->stop) || clock_monotonic_ms() >= e->run->deadline_ms;
}

static struct custody_job *free_job(struct custody_engine *e)
{
	for (size_t i = 0; i < e->capacity; i++)
		if (e->jobs[i].stage == CUSTODY_JOB_FREE)
			return &e->jobs[i];
	return NULL;
}

static int is_token(const struct custody_job *job)
{
	return job->judgement.outcome == CUSTODY_RENEWED;
}

static void count(struct custody_engine *e)
{
	e->ready = e->sent = e->done = e->unsafe = e->failed = 0;
	for (size_t i = 0; i < e->capacity; i++) {
		e->ready += e->jobs[i].stage == CUSTODY_JOB_READY;
		e->unsafe += e->jobs[i].stage == CUSTODY_JOB_READY && !e->jobs[i].is_durable;
		e->sent += e->jobs[i].stage == CUSTODY_JOB_SENT;
		e->done += e->jobs[i].stage == CUSTODY_JOB_DONE;
		e->failed += e->jobs[i].stage == CUSTODY_JOB_DONE && !is_token(&e->jobs[i]);
	}
}

enum err custody_engine_open(struct custody_engine *e, struct work *w, const struct custody *c,
	enum custody_why why, struct custody_run *run)
{
	*e = (struct custody_engine){.c = c, .w = w, .run = run};
	work_begin(&e->shared, INT32_MAX);
	e->capacity = run ? c->renewer->capacity : 1;
	e->concurrency = run ? c->renewer->concurrency : 1;
	e->shop = (struct custody_shop){.c = c,
		.why = why,
		.lanes = custody_lanes_new(&e->shared, run != NULL, e->concurrency),
		.left_ms = run ? INT64_MAX : work_left_ms(w) - WRITING_LEAST_MS,
		.apps = custody_apps_new(&e->shared)};
	e->distributed_ms = clock_monotonic_ms();
	e->jobs = work_alloc(&e->shared, e->capacity * sizeof(*e->jobs));
	return custody_engine_spool(w, c->renewer, &e->shop.spool);
}

void custody_engine_close(struct custody_engine *e)
{
	struct custody_renewer *renewer = e->c->renewer;
	struct work w;
	size_t released = 0;

	count(e);
	if (e->sent) { /* libcurl cannot go on, and still writes where these jobs are */
		log_event(LOG_ERROR, "engine.broken", LOG_TEXT("why", e->w->cause));
		abort();
	}
	for (size_t i = 0; i < e->capacity; i++)
		if (e->jobs[i].stage != CUSTODY_JOB_FREE)
			custody_job_end(&e->jobs[i], &e->shop, 0);
	work_begin(&w, POLL_MS);
	if (e->is_broken && e->shop.spool && vault_spool_free(e->shop.spool) == renewer->capacity &&
		(store_db_ready(&w, e->c->db) ||
			store_renewal_release(
				&w, e->c->db, vault_spool_name(e->shop.spool), &released)))
		log_event(LOG_WARN, "leases.left", LOG_TEXT("why", w.cause));
	work_end(&w);
	if (renewer->spool && vault_spool_free(renewer->spool) != renewer->capacity)
		leave_spool(renewer);
	work_end(&e->shared);
}

/* --- claiming -------------------------------------------------------------------------------- */

static struct store_lease lease_of(const struct custody_engine *e, int64_t generation)
{
	return (struct store_lease){vault_spool_name(e->shop.spool),
		conf_number(e->c->conf, CONF_lease_s), custody_why_name(e->shop.why), generation};
}

/* Whatever ends more than one renewal gives the others back. */
static enum err begin_jobs(struct custody_engine *e, const struct store_claim *claims, size_t n)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < n; i++) {
		struct custody_job *job = free_job(e);

		if (!err && !e->is_broken) {
			err = custody_job_begin(job, &e->shop, &claims[i]);
			work_cause_of(e->w, err, &job->w);
		} else
			custody_job_decline(job, &e->shop, &claims[i]);
	}
	count(e);
	return err;
}

enum err custody_engine_claim(
	struct custody_engine *e, int64_t connection_id, int64_t generation, int *won)
{
	const struct store_lease lease = lease_of(e, generation);
	struct store_claim claim;
	struct work w;
	size_t n = 0;
	enum err err;

	work_begin(&w, work_left_ms(e->w));
	err = store_renewal_claim(&w, e->c->db, &lease, &connection_id, 1, &claim, &n);
	work_cause_of(e->w, err, &w);
	if (!err)
		err = begin_jobs(e, &claim, n);
	*won = n > 0;
	work_end(&w);
	return err;
}

static enum err find_due(
	struct custody_engine *e, struct work *w, size_t n, int64_t *ids, size_t *found)
{
	const struct custody_run *run = e->run;
	enum err err;

	if (e->shop.why == CUSTODY_WHY_DUE)
		return store_renewal_due(w, e->c->db, &run->filter, n, ids, found);
	err = store_renewal_all(w, e->c->db, &run->filter, e->after, n, ids, found);
	if (!err && *found)
		e->after = ids[*found - 1];
	return err;
}

/* Many lost races in a row: the others on this work are faster, and do all of it. */
static void note_finding(struct custody_engine *e, size_t found, size_t won)
{
	e->polled_ms = found ? 0 : clock_monotonic_ms();
	e->lost_races = found && !won ? e->lost_races + 1 : 0;
	if (!found && e->shop.why == CUSTODY_WHY_ALL)
		e->is_exhausted = 1;
	if (e->lost_races > LOST_RACES_MAX && e->shop.why == CUSTODY_WHY_DUE)
		e->polled_ms = clock_monotonic_ms();
}

static enum err fetch_claims(struct custody_engine *e)
{
	const size_t asked = e->claiming_count;
	struct store_claim claims[CUSTODY_CLAIM_MAX];
	struct work w;
	size_t n = 0;
	enum err err;

	e->claiming_count = 0;
	work_begin(&w, work_left_ms(e->w));
	err = store_renewal_claim_fetch(&w, e->c->db, asked, claims, &n);
	work_cause_of(e->w, err, &w);
	if (!err)
		err = begin_jobs(e, claims, n);
	if (!err)
		note_finding(e, asked, n);
	work_end(&w);
	return err;
}

int custody_engine_leaves_some(struct custody_engine *e)
{
	int64_t ids[1];
	struct work w;
	size_t found = 0;

	if (e->polled_ms || e->is_exhausted)
		return 0;
	work_begin(&w, POLL_MS);
	if (store_db_ready(&w, e->c->db) || find_due(e, &w, 1, ids, &found))
		found = 0;
	work_end(&w);
	return found > 0;
}

/* How many may be claimed now: as many as the provider has place for, and so many ahead that it
 * never runs dry. */
static size_t room(const struct custody_engine *e)
{
	const size_t ahead = custody_renewer_ahead(e->concurrency);
	const size_t wanted = e->concurrency - e->sent + ahead;
	const size_t empty = e->capacity - e->ready - e->sent - e->settling_count - e->done;
	/* what waits must not keep others away, as long as there is place */
	const size_t going = e->ready > e->waiting ? e->ready - e->waiting : 0;
	size_t n = wanted > going ? wanted - going : 0;

	n = n < empty ? n : empty;
	if (e->is_exhausted || custody_engine_must_stop(e))
		return 0;
	/* an answer that finds no place in the secure heap would be lost */
	if (empty < e->capacity && secret_heap_is_tight())
		return 0;
	if (e->polled_ms && (empty < e->capacity || e->lost_races > LOST_RACES_MAX) &&
		clock_monotonic_ms() - e->polled_ms < POLL_MS)
		return 0;
	if (n < ahead / 2 && e->ready + e->sent) /* a few at a time cost a commit all the same */
		return 0;
	return n < CUSTODY_CLAIM_MAX ? n : CUSTODY_CLAIM_MAX;
}

/* Until it is back, nothing else is asked of it. */
static enum err look_for_database(struct custody_engine *e)
{
	struct work w;
	enum err err;

	work_begin(&w, POLL_MS);
	err = store_db_ready(&w, e->c->db);
	work_cause_of(e->w, err, &w);
	work_end(&w);
	return err;
}

enum err custody_engine_refill(struct custody_engine *e)
{
	const struct store_lease lease = lease_of(e, 0);
	const size_t n = room(e);
	int64_t ids[CUSTODY_CLAIM_MAX];
	struct work w;
	size_t found = 0;
	enum err err;

	if (e->db_away_ms)
		return look_for_database(e);
	if (!n)
		return ERR_OK;
	work_begin(&w, work_left_ms(e->w));
	err = store_db_ready(&w, e->c->db);
	if (!err)
		err = find_due(e, &w, n, ids, &found);
	if (!err && found)
		err = store_renewal_claim_send(&w, e->c->db, &lease, ids, found);
	if (!err) {
		e->claiming_count = found;
		if (!found)
			note_finding(e, 0, 0);
	}
	work_cause_of(e->w, err, &w);
	work_end(&w);
	return err;
}

/* --- sending --------------------------------------------------------------------------------- */

/* Most of what is ready waits: for one that tries, or because its provider has its share. When that
 * takes long, it makes place for what need not wait. */
static void give_back(struct custody_engine *e)
{
	const int64_t now_ms = clock_monotonic_ms();
	int64_t slowest_ms = 0;

	for (size_t i = 0; i < e->capacity; i++)
		if (e->jobs[i].stage == CUSTODY_JOB_SENT &&
			now_ms - e->jobs[i].sent_ms > slowest_ms)
			slowest_ms = now_ms - e->jobs[i].sent_ms;
	for (size_t i = 0; slowest_ms > TRY_PATIENCE_MS && i < e->capacity; i++)
		if (e->jobs[i].stage == CUSTODY_JOB_READY && e->jobs[i].is_durable)
			custody_job_defer(
				&e->jobs[i], &e->shop, TRY_AGAIN_S, "gate", "somebody_tries");
	count(e);
}

enum err custody_engine_launch(struct custody_engine *e)
{
	enum err err = ERR_OK;
	size_t waiting = 0;

	for (size_t i = 0; !err && i < e->capacity && e->sent < e->concurrency; i++) {
		struct custody_job *job = &e->jobs[i];
		int wait = 0;

		if (job->stage != CUSTODY_JOB_READY || !job->is_durable)
			continue;
		if (e->run && custody_engine_must_stop(e))
			custody_job_defer(job, &e->shop, -1, NULL, "stopped");
		else
			err = custody_job_send(job, &e->shop, &wait);
		e->sent += job->stage == CUSTODY_JOB_SENT;
		waiting += (size_t)wait;
	}
	count(e);
	e->waiting = waiting;
	if (waiting * 4 > e->ready * 3 && e->sent < e->concurrency)
		give_back(e);
	return err;
}

void custody_engine_collect(struct custody_engine *e)
{
	struct custody_job *job = NULL;
	size_t n = 0;

	while (n < COLLECT_MAX && (job = oauth_http_next(e->c->http))) {
		custody_job_answered(job, &e->shop);
		n++;
	}
	e->has_more = n == COLLECT_MAX;
	count(e);
}

enum err custody_engine_sync(struct custody_engine *e)
{
	enum err err = vault_spool_sync(e->w, e->shop.spool);

	for (size_t i = 0; !err && i < e->capacity; i++)
		e->jobs[i].is_durable = 1;
	count(e);
	if (!err)
		return ERR_OK;
	/* No slot, no request; what was answered still goes to the database. */
	for (size_t i = 0; i < e->capacity; i++)
		if (e->jobs[i].stage == CUSTODY_JOB_READY)
			custody_job_defer(&e->jobs[i], &e->shop, -1, NULL, "spool");
	return err;
}

/* --- settling -------------------------------------------------------------------------------- */

static void report(
	struct custody_engine *e, const struct custody_job *job, struct custody_renewal *one)
{
	struct custody_renewal renewal;

	custody_job_tell(job, &renewal);
	if (one) {
		*one = renewal;
		one->client = work_strdup(e->w, renewal.client);
		one->provider = work_strdup(e->w, renewal.provider);
		one->cause = work_strdup(e->w, renewal.cause);
		one->code = work_strdup(e->w, renewal.code);
		return;
	}
	e->run->counts[renewal.outcome]++;
	if (e->run->each)
		e->run->each(e->run->context, &renewal);
}

/* What was answered is written, however late it is for whoever asked. */
static int64_t writing_ms(const struct custody_engine *e)
{
	const int64_t left_ms = work_left_ms(e->w);

	return left_ms > WRITING_LEAST_MS ? left_ms : WRITING_LEAST_MS;
}

static enum err write_jobs(struct custody_engine *e, struct custody_job *const *jobs, size_t n,
	struct custody_renewal *one)
{
	struct work w;
	enum err err;

	work_begin(&w, writing_ms(e));
	w.origin = e->w->origin;
	err = store_db_ready(&w, e->c->db);
	if (!err)
		err = custody_settle_jobs(&w, e->c, jobs, n);
	for (size_t i = 0; !err && i < n; i++) {
		report(e, jobs[i], one);
		custody_job_end(jobs[i], &e->shop, 1);
	}
	work_cause_of(e->w, err, &w);
	work_end(&w);
	return err;
}

int custody_engine_is_away(enum err err)
{
	return err == ERR_DB_AWAY || err == ERR_DB_TIMEOUT || err == ERR_CONFLICT;
}

/* One that cannot be written must not keep the others from it; its slot stays, and its lease ends
 * by itself. */
static enum err write_each(struct custody_engine *e, struct custody_job *const *jobs, size_t n,
	struct custody_renewal *one)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < n && !custody_engine_is_away(err); i++) {
		err = write_jobs(e, &jobs[i], 1, one);
		if (!err || custody_engine_is_away(err))
			continue;
		log_event(LOG_ERROR, "renewal.not_written",
			LOG_TEXT("client", jobs[i]->claim.client),
			LOG_TEXT("provider", jobs[i]->claim.provider),
			LOG_TEXT("error", err_slug(err)), LOG_TEXT("why", e->w->cause));
		custody_job_end(jobs[i], &e->shop, 0);
		work_forgive(e->w);
		if (one)
			return err;
	}
	return custody_engine_is_away(err) ? err : ERR_OK;
}

/* What the database refuses for one of them goes one by one. */
static enum err unless_refused(struct custody_engine *e, struct custody_job *const *jobs, size_t n,
	struct custody_renewal *one, enum err err)
{
	if (!err || custody_engine_is_away(err))
		return err;
	work_forgive(e->w);
	return write_each(e, jobs, n, one);
}

/* Those that are done: tokens, or whatever else there is. */
static size_t pick(struct custody_engine *e, int tokens, struct custody_job **jobs)
{
	size_t n = 0;

	for (size_t i = 0; i < e->capacity && n < CUSTODY_SETTLE_MAX; i++)
		if (e->jobs[i].stage == CUSTODY_JOB_DONE && is_token(&e->jobs[i]) == tokens)
			jobs[n++] = &e->jobs[i];
	return n;
}

static enum err write_others(struct custody_engine *e, struct custody_renewal *one)
{
	struct custody_job *jobs[CUSTODY_SETTLE_MAX];
	size_t n;
	enum err err = ERR_OK;

	while (!err && (n = pick(e, 0, jobs)))
		err = unless_refused(e, jobs, n, one, write_jobs(e, jobs, n, one));
	return err;
}

static enum err send_tokens(struct custody_engine *e, struct custody_renewal *one)
{
	const size_t n = pick(e, 1, e->settling);
	struct work w;
	enum err err;

	if (!n)
		return ERR_OK;
	work_begin(&w, writing_ms(e));
	w.origin = e->w->origin;
	err = store_db_ready(&w, e->c->db);
	if (!err)
		err = custody_settle_send(&w, e->c, e->settling, n, &e->settling_count);
	if (err)
		e->settling_count = 0;
	work_cause_of(e->w, err, &w);
	work_end(&w);
	return unless_refused(e, e->settling, n, one, err);
}

static enum err fetch_tokens(struct custody_engine *e, struct custody_renewal *one)
{
	const size_t n = e->settling_count;
	struct work w;
	enum err err;

	if (!n)
		return ERR_OK;
	e->settling_count = 0;
	work_begin(&w, writing_ms(e));
	err = custody_settle_fetch(&w, e->c, e->settling, n);
	for (size_t i = 0; !err && i < n; i++) {
		report(e, e->settling[i], one);
		custody_job_end(e->settling[i], &e->shop, 1);
	}
	work_cause_of(e->w, err, &w);
	work_end(&w);
	return unless_refused(e, e->settling, n, one, err);
}

static enum err note_lanes(struct custody_engine *e)
{
	struct work w;
	enum err err;

	work_begin(&w, writing_ms(e));
	w.origin = e->w->origin;
	err = custody_lanes_note(&w, e->c, e->shop.lanes, e->sent == 0);
	work_cause_of(e->w, err, &w);
	work_end(&w);
	return err;
}

int custody_engine_is_busy(const struct custody_engine *e)
{
	return (e->claiming_count || e->settling_count) && !e->failed &&
	       !store_db_has_landed(e->c->db);
}

static enum err land(struct custody_engine *e, struct custody_renewal *one)
{
	enum err err = e->claiming_count ? fetch_claims(e) : fetch_tokens(e, one);

	count(e);
	return err;
}

enum err custody_engine_land(struct custody_engine *e)
{
	return land(e, NULL);
}

enum err custody_engine_write(struct custody_engine *e)
{
	enum err err = write_others(e, NULL);

	if (!err)
		err = note_lanes(e);
	if (!err)
		err = send_tokens(e, NULL);
	count(e);
	return err;
}

enum err custody_engine_settle(struct custody_engine *e, struct custody_renewal *one)
{
	enum err err;

	do {
		err = land(e, one);
		if (!err)
			err = write_others(e, one);
		if (!err)
			err = send_tokens(e, one);
		count(e);
	} while (!err && (e->settling_count || e->done));
	return err ? err : note_lanes(e);
}

enum err custody_engine_bear(struct custody_engine *e, enum err err)
{
	const int64_t patience_ms = e->run ? DB_PATIENCE_MS : DB_PATIENCE_MS / 6;

	if (!err)
		e->db_away_ms = 0;
	if (!custody_engine_is_away(err))
		return err;
	if (!e->db_away_ms)
		e->db_away_ms = clock_monotonic_ms();
	if (clock_monotonic_ms() - e->db_away_ms > patience_ms)
		return err;
	work_forgive(e->w);
	return ERR_OK;
}
