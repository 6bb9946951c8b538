/*
 * Renewing many, and one. It decides when a run is over and when there is time for the stores
 * outside the database; what moves renewals on is the engine.
 */
#include "custody/renew.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "custody/distribute.h"
#include "custody/engine.h"
#include "custody/recover.h"

#include <stdlib.h>
#include <string.h>

#define STALE_MAX 128
#define DISTRIBUTE_EVERY_MS 10000 /* in a long run; else when all is renewed */
#define DISTRIBUTE_MS 250         /* while answers may be waiting */
#define POLL_MS 1000
#define STOP_MS 2000 /* for the stores of what was on its way when the run was stopped */

static const char *const outcome_names[CUSTODY_OUTCOME_COUNT] = {"renewed", "deferred", "retry",
	"refused", "dead", "ambiguous", "app", "unreadable", "superseded", "busy", "not_needed"};

const char *custody_outcome_name(enum custody_outcome outcome)
{
	return outcome_names[outcome];
}

int custody_outcome_needs_person(enum custody_outcome outcome)
{
	return outcome == CUSTODY_DEAD || outcome == CUSTODY_AMBIGUOUS || outcome == CUSTODY_APP ||
	       outcome == CUSTODY_UNREADABLE;
}

/* --- the renewer ----------------------------------------------------------------------------- */

struct custody_renewer *custody_renewer_new(const struct custody *c, size_t concurrency)
{
	struct custody_renewer *renewer = calloc(1, sizeof(*renewer));

	if (!renewer)
		return NULL;
	renewer->c = c;
	renewer->concurrency = concurrency;
	renewer->capacity = concurrency > 1 ? concurrency + 2 * CUSTODY_CLAIM_MAX : 1;
	return renewer;
}

void custody_renewer_free(struct custody_renewer *renewer)
{
	if (!renewer)
		return;
	vault_spool_close(renewer->spool);
	free(renewer);
}

struct vault_spool *custody_renewer_spool(const struct custody_renewer *renewer)
{
	return renewer->spool;
}

/* --- the stores outside ---------------------------------------------------------------------- */

static enum err distribute_batch(struct custody_engine *e, size_t *found)
{
	struct custody_persisted persisted[STALE_MAX];
	int64_t ids[STALE_MAX];
	struct work w;
	enum err err;

	work_begin(&w, work_left_ms(e->w));
	w.origin = e->w->origin;
	err = store_renewal_stale(&w, e->c->db, e->stale_after, STALE_MAX, ids, found);
	if (!err && *found) {
		err = custody_distribute_many(&w, e->c, ids, *found, persisted);
		e->stale_after = ids[*found - 1];
	}
	for (size_t i = 0; !err && i < *found; i++) {
		e->run->distributed += (size_t)persisted[i].whole;
		e->run->not_distributed += (size_t)!persisted[i].whole;
	}
	work_cause_of(e->w, err, &w);
	work_end(&w);
	return err;
}

/* Brings them up to date for at most budget_ms. */
static enum err distribute(struct custody_engine *e, int64_t budget_ms)
{
	const int64_t began_ms = clock_monotonic_ms();
	size_t found = 1;
	enum err err = ERR_OK;

	while (!err && found) {
		const int64_t took_ms = clock_monotonic_ms() - began_ms;

		if (took_ms >= budget_ms || (took_ms >= STOP_MS && custody_engine_must_stop(e)))
			break;
		err = distribute_batch(e, &found);
	}
	if (!found)
		e->stale_after = 0;
	e->distributed_ms = clock_monotonic_ms();
	return err;
}

/* --- the run --------------------------------------------------------------------------------- */

/* Nothing is in hand, nothing was due a moment ago, and nothing is about to be because a gate has
 * closed. */
static int is_finished(const struct custody_engine *e)
{
	if (e->ready + e->sent + e->settling_count + e->claiming_count + e->done)
		return 0;
	if (e->is_exhausted || custody_engine_must_stop(e))
		return 1;
	return e->polled_ms && clock_monotonic_ms() - e->polled_ms < POLL_MS &&
	       clock_monotonic_ms() > custody_lanes_resumed_until_ms(e->shop.lanes) + POLL_MS;
}

static int64_t patience_ms(const struct custody_engine *e)
{
	if (e->has_more)
		return 0;
	if (e->sent || e->settling_count || e->claiming_count || e->db_away_ms)
		return POLL_MS / 2;
	return e->polled_ms ? POLL_MS / 10 : 1;
}

/*
 * Gives the database the next thing to do. A flush of the spool costs as much as a commit: answers
 * wait for it until they can go on to the database, intents are what the provider waits for.
 */
static enum err feed(struct custody_engine *e)
{
	const int was_claim = e->claiming_count > 0;
	enum err err = custody_engine_land(e);

	/* Claims and tokens take turns: what is due and cannot be won keeps no token from being
	 * stored. */
	if (!err && !(was_claim && e->done))
		err = custody_engine_refill(e);
	if (e->unsafe || !e->claiming_count) {
		enum err synced =
			!err || custody_engine_is_away(err) ? custody_engine_sync(e) : ERR_OK;

		err = synced ? synced : err;
	}
	if (!err && !e->claiming_count)
		err = custody_engine_write(e);
	return err ? err : custody_engine_launch(e);
}

static enum err move(struct custody_engine *e)
{
	const int is_early = e->has_more && e->done < CUSTODY_SETTLE_MAX && !e->db_away_ms;
	enum err err = custody_engine_launch(e);

	if (!err && !is_early && !custody_engine_is_busy(e))
		err = feed(e);
	if (!err && clock_monotonic_ms() - e->distributed_ms > DISTRIBUTE_EVERY_MS)
		err = distribute(e, DISTRIBUTE_MS);
	return err;
}

static enum err turn(struct custody_engine *e)
{
	enum err err = custody_engine_bear(e, move(e));

	if (!err && !is_finished(e))
		err = oauth_http_wait(e->c->http, patience_ms(e), store_db_fd(e->c->db));
	custody_engine_collect(e);
	return err;
}

/* Whatever ended the run: what is on its way is waited for, and stored if that is possible. */
static enum err wind_up(struct custody_engine *e, enum err why)
{
	enum err err = ERR_OK;

	if (!e->shop.spool) /* nothing was ever begun */
		return why;
	while (!err && e->sent) {
		err = oauth_http_wait(e->c->http, e->has_more ? 0 : POLL_MS, -1);
		custody_engine_collect(e);
	}
	e->is_broken = why || err;
	if (!err && custody_engine_sync(e))
		log_event(LOG_ERROR, "spool.not_synced", LOG_TEXT("why", e->w->cause));
	if (!err && !custody_engine_is_away(why))
		err = custody_engine_settle(e, NULL);
	return why ? why : err;
}

enum err custody_renew_run(struct work *w, const struct custody *c, struct custody_run *run)
{
	const int64_t began_ms = clock_monotonic_ms();
	struct custody_engine e;
	enum err err = custody_engine_open(&e, w, c, run->why, run);

	if (!err)
		err = custody_lanes_calm(w, c);
	while (!err && !is_finished(&e))
		err = turn(&e);
	err = wind_up(&e, err);
	run->renewal_ms = clock_monotonic_ms() - began_ms;
	run->is_cut_short = !err && custody_engine_must_stop(&e) && custody_engine_leaves_some(&e);
	e.stale_after = 0; /* all of them once more, those of before it included */
	run->not_distributed = 0;
	if (!err) /* what a run that is stopped leaves behind is the next one's */
		err = distribute(&e, INT64_MAX);
	custody_engine_close(&e);
	return err;
}

/* --- one connection -------------------------------------------------------------------------- */

/* Why a connection was not to be had. */
static enum custody_outcome outcome_of(
	const struct store_look *look, int64_t generation, int64_t *wait_s)
{
	*wait_s = -1;
	if (look->generation && generation && look->generation != generation)
		return CUSTODY_NOT_NEEDED;
	if (look->is_leased) {
		*wait_s = look->lease_left_s;
		return CUSTODY_BUSY;
	}
	if (!look->generation || text_equal(look->state, "invalid"))
		return CUSTODY_DEAD;
	if (text_equal(look->state, "quarantined"))
		return text_equal(look->cause, "sealed_unreadable") ? CUSTODY_UNREADABLE
								    : CUSTODY_AMBIGUOUS;
	*wait_s = look->deferred_by ? look->next_in_s : CUSTODY_JUDGE_BACKOFF_S;
	return CUSTODY_DEFERRED;
}

static enum err tell_look(struct work *w, const struct custody *c, int64_t connection_id,
	int64_t generation, struct custody_renewal *renewal)
{
	struct store_look look;
	enum err err = store_renewal_look(w, c->db, connection_id, &look);

	if (err)
		return err;
	*renewal = (struct custody_renewal){
		.connection_id = connection_id,
		.generation = look.generation,
		.cause = look.gate_cause ? look.gate_cause : look.cause,
		.code = look.deferred_by ? look.deferred_by : "",
	};
	renewal->outcome = outcome_of(&look, generation, &renewal->wait_s);
	return ERR_OK;
}

static enum err finish_one(struct custody_engine *e, struct custody_renewal *renewal)
{
	struct custody_persisted persisted;
	enum err err = custody_engine_sync(e);

	if (!err)
		err = custody_engine_launch(e);
	while (!err && e->sent) {
		err = oauth_http_wait(e->c->http, POLL_MS, -1);
		custody_engine_collect(e);
	}
	if (!err && custody_engine_sync(e)) /* it is still in memory, and goes on from there */
		work_forgive(e->w);
	while (!err && e->done) {
		err = custody_engine_bear(e, custody_engine_settle(e, renewal));
		if (err && !e->done) { /* the gates were not told; the renewal is written */
			log_event(LOG_ERROR, "gate.not_noted", LOG_TEXT("error", err_slug(err)),
				LOG_TEXT("why", e->w->cause));
			work_forgive(e->w);
			err = ERR_OK;
		}
		if (!err && e->done)
			err = oauth_http_wait(e->c->http, POLL_MS / 2, -1);
	}
	if (err || renewal->outcome != CUSTODY_RENEWED)
		return err;
	err = custody_distribute(e->w, e->c, renewal->connection_id, &persisted);
	if (err) /* the token is stored: the next run brings the other stores up to date */
		log_event(LOG_ERROR, "distribute.failed", LOG_TEXT("client", renewal->client),
			LOG_TEXT("provider", renewal->provider), LOG_TEXT("error", err_slug(err)));
	work_forgive(e->w);
	return ERR_OK;
}

static enum err renew_one(struct custody_engine *e, int64_t connection_id, int64_t generation,
	struct custody_renewal *renewal)
{
	int won = 0;
	enum err err = custody_engine_claim(e, connection_id, generation, &won);

	if (!err && won)
		err = finish_one(e, renewal);
	else if (!err)
		err = tell_look(e->w, e->c, connection_id, generation, renewal);
	return err;
}

enum err custody_renew_one(struct work *w, const struct custody *c, int64_t connection_id,
	enum custody_why why, int64_t generation, struct custody_renewal *renewal)
{
	struct custody_recovered recovered;
	struct custody_engine e;
	enum err err = custody_recover(w, c, &recovered);

	memset(renewal, 0, sizeof(*renewal));
	if (err) { /* somebody else's remains keep nobody from a renewal of his own */
		log_event(LOG_WARN, "recovery.failed", LOG_TEXT("error", err_slug(err)),
			LOG_TEXT("why", w->cause));
		if (custody_engine_is_away(err))
			return err;
		work_forgive(w);
	}
	err = custody_engine_open(&e, w, c, why, NULL);
	if (!err)
		err = renew_one(&e, connection_id, generation, renewal);
	e.is_broken = err != ERR_OK;
	custody_engine_close(&e);
	return err;
}
