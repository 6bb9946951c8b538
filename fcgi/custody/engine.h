/*
 * The machine behind renewals: jobs in every stage at once, moved on step by step. It decides how
 * many are on their way, and keeps the order spool, provider, spool, database for all of them.
 */
#ifndef VESTAL_CUSTODY_ENGINE_H
#define VESTAL_CUSTODY_ENGINE_H

#include "custody/job.h"
#include "custody/settle.h"

struct custody_renewer {
	const struct custody *c;
	size_t concurrency, capacity; /* on their way; in all, with those before and after */
	struct vault_spool *spool;    /* NULL until the first renewal */
};

struct custody_engine {
	const struct custody *c;
	struct work *w;     /* of the whole run: nothing in it grows with the number of renewals */
	struct work shared; /* apps and lanes */
	struct custody_shop shop;
	struct custody_run *run; /* NULL: one connection alone */
	struct custody_job *jobs;
	size_t capacity, concurrency;
	size_t ready, sent, done;                         /* how many there are of each */
	struct custody_job *settling[CUSTODY_SETTLE_MAX]; /* on their way to the database */
	size_t settling_count, claiming_count; /* claiming: asked for, and not landed yet */
	size_t unsafe;                         /* of the ready: their intent is not flushed */
	size_t failed;                         /* of the done: whatever is not a token */
	size_t waiting; /* of the ready: for another one, or for their provider's share */
	int64_t after;  /* of CUSTODY_WHY_ALL: the last connection that was looked at */
	int64_t stale_after, distributed_ms;
	int64_t polled_ms;  /* when nothing was due; 0: something was */
	int64_t db_away_ms; /* since when; 0: it is there */
	int is_exhausted, lost_races, is_broken;
	int has_more; /* answers that were not taken in yet */
};

/*
 * The renewer's spool, made when there is none, or when an error broke the one there was: that one
 * is left to whoever takes over. Returns: as vault_spool_open().
 */
enum err custody_engine_spool(
	struct work *w, struct custody_renewer *renewer, struct vault_spool **spool) MUST_CHECK;

/* run NULL: one connection alone. Its spool is made when the renewer has none. Returns: as
 * vault_spool_open(); to be closed then, too. */
enum err custody_engine_open(struct custody_engine *e, struct work *w, const struct custody *c,
	enum custody_why why, struct custody_run *run) MUST_CHECK;

/*
 * Nothing is on its way any more. A lease without a slot behind it goes back; one with a slot
 * stays, and the spool is left to whoever recovers next.
 */
void custody_engine_close(struct custody_engine *e);

int custody_engine_must_stop(const struct custody_engine *e);

/* Whether something is due that was not claimed: 1, or 0 also when the database cannot say. */
int custody_engine_leaves_some(struct custody_engine *e);

/* Claims one connection, waiting for it; *won: it is ready, or done at once. generation: as in
 * store_lease. */
enum err custody_engine_claim(
	struct custody_engine *e, int64_t connection_id, int64_t generation, int *won) MUST_CHECK;

/*
 * The database is asked ahead (store/db.h): one thing at a time, and the provider is asked on
 * meanwhile. Busy: it is at it still, and nothing has failed, which could open a gate and so is
 * written at once. Land: takes in what it answered, waiting for it where it has not.
 */
int custody_engine_is_busy(const struct custody_engine *e);
enum err custody_engine_land(struct custody_engine *e) MUST_CHECK;

/* Finds more and claims it ahead, when so little is ready that the provider could run dry. */
enum err custody_engine_refill(struct custody_engine *e) MUST_CHECK;

/* Sends what is ready and durable, as long as there is place at the provider. */
enum err custody_engine_launch(struct custody_engine *e) MUST_CHECK;

/* Takes in what was answered, a few at a time: more goes out in between. */
void custody_engine_collect(struct custody_engine *e);

/* Makes intents and answers durable: from here on a crash loses none of them. Returns: ERR_IO, and
 * what was ready is given back. */
enum err custody_engine_sync(struct custody_engine *e) MUST_CHECK;

/* Writes what is done, and tells the run: tokens ahead, a batch at a time; whatever else there is
 * is rare, and waited for. Returns the database's errors; what is not written is done again. */
enum err custody_engine_write(struct custody_engine *e) MUST_CHECK;

/* Writes everything that is done, waiting for it, and tells the run, or *one, of it. Returns the
 * database's errors; what is not written stays done. */
enum err custody_engine_settle(struct custody_engine *e, struct custody_renewal *one) MUST_CHECK;

/* Whether an error of the database passes by itself: away, out of time, or in each other's way. */
int custody_engine_is_away(enum err err);

/* A database that is away is waited for: what was answered is in the spool and in memory. Whatever
 * else happens ends the engine. */
enum err custody_engine_bear(struct custody_engine *e, enum err err) MUST_CHECK;

#endif
