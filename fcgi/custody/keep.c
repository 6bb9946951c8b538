/* Taking a trial's token into custody, or writing down why not. It decides that a token which cost
 * another one is not lost for want of one commit. */
#include "custody/keep.h"

#include "base/clock.h"
#include "base/jout.h"
#include "base/log.h"
#include "base/text.h"
#include "custody/engine.h"
#include "custody/held.h"
#include "custody/lane.h"
#include "custody/parcel.h"
#include "custody/recover.h"
#include "custody/token.h"
#include "store/audit.h"
#include "store/client.h"
#include "store/connection.h"
#include "store/report.h"
#include "store/token.h"
#include "vault/crypto.h"
#include "vault/fingerprint.h"

#include <string.h>

#define SIDE_MS 5000
#define TRIES 3
#define DETAIL_MAX_BYTES 1024

static int is_away(enum err err)
{
	return err == ERR_DB_AWAY || err == ERR_DB_TIMEOUT;
}

int custody_keep_is_stored(
	const struct work *w, const struct custody *c, const struct custody_acceptance *asked)
{
	const struct custody_token_place place = {
		asked->client, asked->provider->name, "access", asked->generation};
	struct store_current current;
	struct secret *access = NULL;
	struct work side;
	int stored;

	work_begin(&side, SIDE_MS);
	side.origin = w->origin;
	stored = asked->generation && !store_db_ready(&side, c->db) &&
		 !store_token_current(&side, c->db, asked->connection_id, &current) &&
		 current.generation == asked->generation &&
		 !custody_token_open(&side, c, &place, &current.access, &access) && access &&
		 secret_equal(access, asked->token->access);
	work_end(&side);
	return stored;
}

static enum err accept(struct work *w, const struct custody *c, struct custody_acceptance *asked)
{
	enum err err = custody_accept(w, c, asked);

	for (int i = 1; is_away(err) && i < TRIES && work_left_ms(w) > SIDE_MS; i++) {
		if (custody_keep_is_stored(w, c, asked))
			err = ERR_OK;
		else {
			work_forgive(w);
			err = custody_accept(w, c, asked);
		}
	}
	return is_away(err) && custody_keep_is_stored(w, c, asked) ? ERR_OK : err;
}

/* The provider has replaced the refresh token that was brought: what it gave instead is kept aside,
 * as after a callback, lest an administrator's word comes too late for it. */
static enum err hold(
	struct work *w, const struct custody *c, const struct custody_acceptance *refused)
{
	struct store_attempt attempt = {.connection_id = refused->connection_id,
		.app_id = refused->app_id,
		.client = refused->client,
		.kind = "authorize",
		.datacenter = refused->datacenter,
		.actor = w->origin.actor};
	const char *until = NULL;
	enum err err = vault_crypto_random(attempt.state_hash, sizeof(attempt.state_hash));

	if (!err)
		err = store_attempt_begin(w, c->db, &attempt, CUSTODY_HELD_LIFE_S, &until);
	if (!err)
		err = store_attempt_consume(w, c->db, refused->provider->name, &attempt);
	return err ? err : custody_held_keep(w, c, &attempt, refused);
}

static int is_to_hold(const struct custody_acceptance *refused, enum err err)
{
	return refused->spent && (err == ERR_ACCOUNT_CHANGED || err == ERR_PROVIDER_UNAVAILABLE);
}

static enum err tell_held(struct work *w, const struct custody_acceptance *refused, enum err err)
{
	w->detail = NULL;
	if (err == ERR_PROVIDER_UNAVAILABLE) {
		work_tell(w, "pinned", refused->pinned);
		return work_fail(w, err,
			"The provider did not say whose account the token belongs to, and the "
			"token that was there stays in use. The provider has replaced the refresh "
			"token that was given, which is spent: the new one is kept for %d minutes, "
			"until POST /api/oauth/accept-account with the account that this "
			"connection is bound to (%s) vouches for it.",
			CUSTODY_HELD_LIFE_S / 60, refused->pinned);
	}
	return work_fail(w, err,
		"The token belongs to another account (%s) than the one this connection is bound "
		"to (%s), and the token that was there stays in use. The provider has replaced "
		"the refresh token that was given: the new one is kept for %d minutes, until "
		"POST /api/oauth/accept-account takes it.",
		refused->found, refused->pinned, CUSTODY_HELD_LIFE_S / 60);
}

/* Nothing is given up that only the spool still has. */
static enum err not_accepted(struct work *w, const struct custody *c,
	struct custody_keeping *keeping, const struct custody_acceptance *refused, enum err err)
{
	enum err held = ERR_OK;

	keeping->is_due = custody_keep_can_wait(err);
	if (!is_to_hold(refused, err))
		return err;
	held = hold(w, c, refused);
	if (!held)
		return tell_held(w, refused, err);
	keeping->is_due = 1;
	log_event(LOG_ERROR, "token.not_held", LOG_TEXT("client", refused->client),
		LOG_TEXT("provider", refused->provider->name), LOG_TEXT("error", err_slug(held)),
		LOG_TEXT("why", w->cause));
	return err;
}

/* Whoever waits behind a gate need not wait longer. */
static void note_good(struct work *w, const struct custody *c, const struct custody_trial *trial)
{
	enum err err = ERR_OK;

	if (trial->refresh)
		err = custody_lane_good(w, c, trial->provider, trial->datacenter, trial->app_id);
	if (err)
		log_event(LOG_WARN, "gate.not_noted", LOG_TEXT("error", err_slug(err)),
			LOG_TEXT("why", w->cause));
	work_forgive(w);
}

/* The answer is durable before anything else is done with it. When even that fails, it still goes
 * on to the database: what is in memory is not lost yet. */
static void keep_answer(
	struct work *w, const struct custody_keeping *k, const struct custody_acceptance *asked)
{
	struct secret *answer = NULL;
	enum err err;

	if (!k->spool)
		return;
	err = custody_parcel_write(w, asked, &answer);
	if (!err)
		err = vault_spool_answer(w, k->spool, k->slot, &k->key, answer);
	if (!err)
		err = vault_spool_sync(w, k->spool);
	if (err)
		log_event(LOG_ERROR, "spool.answer_not_kept", LOG_TEXT("client", asked->client),
			LOG_TEXT("provider", asked->provider->name),
			LOG_TEXT("error", err_slug(err)), LOG_TEXT("why", w->cause));
	work_forgive(w);
}

enum err custody_keep(struct work *w, const struct custody *c, struct custody_keeping *keeping,
	const struct custody_trial *trial, struct custody_acceptance *asked,
	struct custody_persisted *persisted, const char **status)
{
	const char *cause = NULL;
	enum err err;

	asked->app_id = trial->app_id;
	asked->provider = trial->provider;
	asked->datacenter = trial->datacenter;
	asked->token = &trial->token;
	asked->cause = trial->cause;
	asked->asked_ms = trial->asked_ms;
	asked->account = trial->account;
	asked->is_all = 1;
	asked->is_mint = trial->refresh != NULL;
	asked->spent = trial->is_replaced ? trial->refresh : NULL;
	keep_answer(w, keeping, asked);
	err = accept(w, c, asked);
	if (err)
		return not_accepted(w, c, keeping, asked, err);
	work_forgive(w);
	note_good(w, c, trial);
	err = custody_distribute(w, c, asked->connection_id, persisted);
	if (!err)
		err = store_report_one(w, c->db, asked->connection_id, status, &cause);
	if (err) /* the token is stored: the next run brings the other stores up to date */
		log_event(LOG_ERROR, "distribute.failed", LOG_TEXT("request", w->origin.request_id),
			LOG_TEXT("error", err_slug(err)), LOG_TEXT("why", w->cause));
	work_forgive(w);
	return ERR_OK;
}

/* --- the spool ----------------------------------------------------------------------------------
 */

/* A fence below 0 is of no renewal, and never used twice: time only goes on. A generation below 0
 * is the last one of a connection that holds no token. */
static struct vault_spool_key key_of(int64_t connection_id, int64_t generation)
{
	return (struct vault_spool_key){connection_id, -clock_wall_ms(), generation};
}

static enum err write_intent(
	struct work *w, const struct custody_trial *trial, struct custody_keeping *k)
{
	const char *text = work_printf(w, "{\"provider\":\"%s\"}", trial->provider->name);
	struct secret *intent = secret_new(w, text, strlen(text));
	enum err err;

	if (!intent)
		return work_cause(w, ERR_NO_MEMORY, "the secure heap is full");
	err = vault_spool_reserve(w, k->spool, &k->key, intent, &k->slot);
	if (err)
		k->spool = NULL;
	if (err == ERR_CONFLICT)
		return work_cause(w, ERR_IO, "what was left behind takes all slots of the spool");
	return err ? err : vault_spool_sync(w, k->spool);
}

enum err custody_keep_begin(struct work *w, const struct custody *c,
	const struct custody_trial *trial, struct custody_keeping *k)
{
	struct custody_recovered recovered;
	struct store_left left = {0};
	enum err err;

	*k = (struct custody_keeping){0};
	if (!trial->refresh || trial->provider->rotation == OAUTH_ROTATION_NEVER || !c->renewer)
		return ERR_OK;
	err = custody_recover(w, c, &recovered);
	if (err && !custody_engine_is_away(err)) { /* somebody else's remains are no reason */
		log_event(LOG_WARN, "recovery.failed", LOG_TEXT("error", err_slug(err)),
			LOG_TEXT("why", w->cause));
		work_forgive(w);
		err = ERR_OK;
	}
	if (!err && trial->connection_id)
		err = store_renewal_left(w, c->db, trial->connection_id, &left);
	if (!err)
		err = custody_engine_spool(w, c->renewer, &k->spool);
	k->key = key_of(
		trial->connection_id, left.generation ? left.generation : -left.last_generation);
	return err ? err : write_intent(w, trial, k);
}

int custody_keep_can_wait(enum err err)
{
	return is_away(err) || err == ERR_DB || err == ERR_SCHEMA_MISMATCH ||
	       err == ERR_KEY_UNKNOWN || err == ERR_NO_MEMORY;
}

void custody_keep_end(struct custody_keeping *k, enum err err)
{
	if (k->spool && !k->is_due && !is_away(err))
		vault_spool_clear(k->spool, k->slot);
	k->spool = NULL;
}

/* The connection, unless it has got another grant since; one that was to be made is made now. A
 * renewal in between is none: it went on with what was to be replaced. */
static enum err find_connection(struct work *w, const struct custody *c,
	const struct vault_spool_key *key, struct custody_parcel *parcel, int *is_over)
{
	struct custody_acceptance *it = &parcel->acceptance;
	const int had_token = key->generation > 0;
	struct store_left left;
	int64_t n = 0;
	int is_new;
	enum err err = ERR_OK;

	it->connection_id = key->connection_id;
	if (!it->connection_id)
		err = store_client_get(w, c->db, it->client, NULL);
	if (!err && !it->connection_id)
		err = store_connection_ensure(
			w, c->db, it->client, parcel->provider, &it->connection_id, &is_new);
	if (!err && !key->connection_id) { /* what it was before it was taken away counts not */
		err = store_renewal_left(w, c->db, it->connection_id, &left);
		*is_over = !err && left.generation != 0;
		return err;
	}
	if (!err)
		err = store_token_grants(w, c->db, it->connection_id,
			had_token ? key->generation : 1 - key->generation, &n);
	*is_over = n > had_token;
	return err;
}

enum err custody_keep_recovered(struct work *w, const struct custody *c,
	const struct vault_spool_key *key, const struct secret *answer, int *is_left,
	const char **what)
{
	struct custody_parcel parcel;
	struct custody_acceptance *it = &parcel.acceptance;
	int is_over = 0;
	enum err err;

	*is_left = c->role != STORE_WORKER;
	if (*is_left)
		return ERR_OK;
	err = custody_parcel_read(w, answer, custody_parcel_age_s(w, answer), &parcel);
	if (!err)
		err = custody_provider(w, c, parcel.provider, &parcel.acceptance.provider);
	if (!err)
		err = find_connection(w, c, key, &parcel, &is_over);
	*what = is_over ? "superseded" : "stored";
	if (err || is_over)
		return err;
	w->origin.actor = parcel.actor ? parcel.actor : w->origin.actor;
	err = custody_accept(w, c, it);
	if (is_to_hold(it, err)) {
		*what = "held";
		return hold(w, c, it);
	}
	if (err == ERR_CONFLICT && it->taken_back) {
		*what = "superseded";
		return ERR_OK;
	}
	return err;
}

/* --- refusals -----------------------------------------------------------------------------------
 */

static const char *detail_of(struct work *w, const struct custody_trial *trial, enum err err)
{
	struct buf buf;
	struct jout j;

	buf_init(&buf, w, DETAIL_MAX_BYTES);
	jout_init(&j, &buf);
	jout_object(&j, NULL);
	jout_text(&j, "error", err_slug(err));
	jout_text(&j, "cause", trial->finding ? trial->finding : err_slug(err));
	if (trial->code && *trial->code)
		jout_text(&j, "code", trial->code);
	if (trial->datacenter && *trial->datacenter)
		jout_text(&j, "datacenter", trial->datacenter);
	if (trial->offered)
		jout_text(&j, "offered", trial->offered);
	jout_end_object(&j);
	return buf.overflow ? NULL : buf.data;
}

static enum err write_declined(struct work *w, const struct custody *c,
	const struct custody_declined *declined, enum err why)
{
	const struct custody_trial *trial = declined->trial;
	const struct secret *given = trial->refresh ? trial->refresh : trial->access;
	enum err err = store_db_ready(w, c->db);

	return err ? err
		   : store_audit_add(w, c->db,
			     &(struct store_event){.action = declined->action,
				     .outcome = err_status(why) < 500 ? "denied" : "error",
				     .client = declined->client,
				     .provider = trial->provider->name,
				     .connection_id = declined->connection_id,
				     .generation = declined->generation,
				     .fingerprint =
					     given ? vault_fingerprint(w, c->keyring, given) : NULL,
				     .reason = declined->reason,
				     .detail_json = detail_of(w, trial, why)});
}

enum err custody_keep_declined(struct work *w, const struct custody *c,
	const struct custody_declined *declined, enum err err)
{
	struct work side;

	work_begin(&side, SIDE_MS);
	side.origin = w->origin;
	if (write_declined(&side, c, declined, err))
		log_event(LOG_ERROR, "audit.not_written", LOG_TEXT("action", declined->action),
			LOG_TEXT("request", w->origin.request_id), LOG_TEXT("why", side.cause));
	work_end(&side);
	return err;
}
