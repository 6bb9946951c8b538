/*
 * Removing and revoking. It decides that the removal never waits for the provider, what of a
 * provider's answer is a last word, and when there will be none. The revocation stands in the
 * history before anybody is asked, and is taken up there by whoever asks.
 */
#include "custody/revoke.h"

#include "base/clock.h"
#include "base/jout.h"
#include "base/log.h"
#include "base/text.h"
#include "custody/app.h"
#include "custody/ask.h"
#include "custody/distribute.h"
#include "custody/token.h"
#include "custody/trouble.h"
#include "store/attempt.h"
#include "store/audit.h"
#include "store/client.h"
#include "store/connection.h"
#include "store/revocation.h"

#define REMOVED "token.removed"
#define ACCEPTED "accepted"
#define GONE "gone"
#define UNCONFIRMED "unconfirmed"
#define PENDING "pending"
#define PLACES_MAX 64
#define DETAIL_MAX_BYTES 512
#define SPARE_MS 5000 /* of one revocation, for the database */

/* --- one revocation --------------------------------------------------------------------------- */

struct revoking {
	const struct custody *c;
	const struct store_revocation *row;
	const char *word, *code; /* what became of it, and why */
	int64_t wait_s;          /* the provider asked for it; 0: it did not */
};

static void conclude(struct revoking *r, const char *word, const char *code)
{
	r->word = word;
	r->code = code;
}

/* Source: RFC 7009 section 2.2. An answer that nobody knows will be none the next time either; that
 * the app was refused says nothing of the token, and can be mended. */
static const char *word_of(const struct oauth_outcome *outcome)
{
	switch (outcome->verdict) {
	case OAUTH_OK:
		return ACCEPTED;
	case OAUTH_DEAD:
		return GONE;
	case OAUTH_DEAD_OR_APP:
	case OAUTH_SCOPE:
		return UNCONFIRMED;
	case OAUTH_RETRY:
		return outcome->is_unknown && !text_equal(outcome->code, "certificate")
			       ? UNCONFIRMED
			       : PENDING;
	case OAUTH_APP:
	case OAUTH_RATE:
		break;
	}
	return PENDING;
}

/*
 * The refresh token, which ends the grant; the access token where it is all there is, or all that
 * the provider takes, whose field is called so then. Source: RFC 7009 section 2.1.
 */
static int sends_refresh(const struct revoking *r, const struct oauth_provider *provider)
{
	return r->row->refresh.bytes && !text_equal(provider->revoke.field, "access_token");
}

static enum err open_token(struct work *w, const struct revoking *r,
	const struct oauth_provider *provider, struct secret **token)
{
	const struct store_revocation *row = r->row;
	const int is_refresh = sends_refresh(r, provider);
	const struct custody_token_place place = {
		row->client, row->provider, is_refresh ? "refresh" : "access", row->generation};

	return custody_token_open(
		w, r->c, &place, is_refresh ? &row->refresh : &row->access, token);
}

static enum err ask(struct work *w, struct revoking *r, const struct oauth_provider *provider,
	const struct secret *token)
{
	const struct oauth_question question = {provider, OAUTH_AT_REVOKE, OAUTH_GRANT_ANY};
	const struct store_revocation *row = r->row;
	struct oauth_http_request request;
	struct oauth_outcome outcome;
	struct custody_app app;
	const json_t *body = NULL;
	enum err err = custody_app_at(w, r->c, provider, row->app_id,
		oauth_provider_datacenter(provider, row->datacenter), &app);

	if (err)
		return err;
	app.target.api_domain = row->api_domain;
	err = oauth_token_request_revoke(w, &app.target, &app.oauth, token,
		sends_refresh(r, provider) ? "refresh_token" : "access_token", &request);
	if (!err)
		err = custody_ask(w, r->c, &question, &request, &outcome, &body);
	if (err)
		return err;
	conclude(r, word_of(&outcome),
		outcome.is_foreign ? "unknown_error" : work_strdup(w, outcome.code));
	r->wait_s = outcome.retry_after_s;
	return ERR_OK;
}

static int is_of_database(enum err err)
{
	return err == ERR_DB_AWAY || err == ERR_DB_TIMEOUT || err == ERR_SCHEMA_MISMATCH ||
	       err == ERR_DB || err == ERR_CONFLICT;
}

/* Finds the last word, or that there is none yet. What is missing on our side may come back, but
 * for a token that does not open: its key is gone on purpose, or it is damaged. */
static enum err find_word(struct work *w, struct revoking *r)
{
	const struct oauth_provider *provider =
		oauth_provider_find(r->c->providers, r->row->provider);
	struct secret *token = NULL;
	enum err err = provider ? open_token(w, r, provider, &token) : ERR_CONFIG;

	if (err == ERR_SEALED || err == ERR_KEY_UNKNOWN)
		conclude(r, UNCONFIRMED, err_slug(err));
	else if (err)
		conclude(r, PENDING, err_slug(err));
	else if (!provider->revoke_url)
		conclude(r, UNCONFIRMED, "no_revoke_url");
	else {
		err = ask(w, r, provider, token);
		if (is_of_database(err))
			return err;
		if (err)
			conclude(r, PENDING, err_slug(err));
	}
	work_forgive(w);
	if (r->row->is_last && text_equal(r->word, PENDING))
		conclude(r, UNCONFIRMED, r->code);
	return ERR_OK;
}

static const char *detail_of(struct work *w, const struct revoking *r, int64_t tries)
{
	struct buf buf;
	struct jout j;

	buf_init(&buf, w, DETAIL_MAX_BYTES);
	jout_init(&j, &buf);
	jout_object(&j, NULL);
	jout_text(&j, "revocation", r->word);
	jout_text(&j, "code", r->code && *r->code ? r->code : NULL);
	jout_int(&j, "tries", tries);
	jout_end_object(&j);
	return buf.overflow ? "{}" : buf.data;
}

static enum err write_word(struct work *w, struct store_db *db, void *context)
{
	const struct revoking *r = context;
	const struct store_revocation *row = r->row;
	int64_t tries = 0;
	enum err err = store_revocation_settle(w, db, row, r->word, &tries);

	if (err || !tries)
		return err;
	return store_audit_add(w, db,
		&(struct store_event){.action = "token.revoked",
			.outcome = text_equal(r->word, UNCONFIRMED) ? "error" : "ok",
			.client = row->client,
			.provider = row->provider,
			.connection_id = row->connection_id,
			.generation = row->generation,
			.fingerprint = row->fingerprint,
			.reason = r->word,
			.detail_json = detail_of(w, r, tries)});
}

/* Takes one that was claimed as far as it goes now; *word says how far. */
static enum err go_on(struct work *w, const struct custody *c, const struct store_revocation *row,
	const char **word)
{
	struct revoking r = {.c = c, .row = row};
	enum err err = find_word(w, &r);

	if (err)
		return err;
	log_event(LOG_INFO, "revocation.tried", LOG_TEXT("client", row->client),
		LOG_TEXT("provider", row->provider), LOG_INT("generation", row->generation),
		LOG_TEXT("revocation", r.word), LOG_TEXT("code", r.code));
	err = store_db_ready(w, c->db); /* the provider may have taken long */
	if (!err && !text_equal(r.word, PENDING))
		err = store_db_transaction(w, c->db, write_word, &r);
	else if (!err && r.wait_s)
		err = store_revocation_defer(w, c->db, row, r.wait_s);
	*word = r.word;
	return err;
}

/* --- the removal ------------------------------------------------------------------------------ */

struct removing {
	struct custody_removal *asked;
	const struct oauth_provider *provider;
	int64_t connection_id, incident_id;
	struct store_retired retired;
};

static enum err take_out(struct work *w, struct store_db *db, struct removing *r)
{
	struct store_connection connection;
	int was_held = 0;
	enum err err = store_connection_lock(w, db, r->connection_id, &connection);

	if (!err)
		err = store_token_retire(
			w, db, r->connection_id, REMOVED, w->origin.actor, NULL, &r->retired);
	if (!err)
		err = store_revocation_begin(w, db, r->connection_id,
			r->provider->rotation != OAUTH_ROTATION_NEVER, &r->retired);
	if (!err && !r->retired.generation)
		return work_fail(w, ERR_NOT_FOUND,
			"The connection holds no token, and none that it held is known to live.");
	if (!err) /* lest a token that waits for a word brings the connection back */
		err = store_attempt_take(w, db, r->connection_id, 0, &was_held);
	if (!err)
		err = store_connection_emptied(w, db, r->connection_id, "removed");
	return err ? err : store_token_announce(w, db, r->asked->client, r->asked->provider, 0);
}

/* What was wrong with the token is over with it; who wants another one begins anew. */
static enum err remove_token(struct work *w, struct store_db *db, void *context)
{
	struct removing *r = context;
	const struct custody_mended mended = {
		r->connection_id, 0, r->asked->client, r->asked->provider, "removed"};
	enum err err = take_out(w, db, r);

	if (!err)
		err = custody_trouble_close(w, db, &mended, &r->incident_id);
	if (err)
		return err;
	return store_audit_add(w, db,
		&(struct store_event){.action = REMOVED,
			.client = r->asked->client,
			.provider = r->asked->provider,
			.connection_id = r->connection_id,
			.incident_id = r->incident_id,
			.generation = r->retired.generation,
			.fingerprint = r->retired.fingerprint});
}

static enum err find_connection(struct work *w, const struct custody *c, struct removing *r)
{
	const struct custody_removal *asked = r->asked;
	enum err err = custody_provider(w, c, asked->provider, &r->provider);

	if (!err)
		err = store_client_get(w, c->db, asked->client, NULL);
	return err ? err
		   : store_connection_find(
			     w, c->db, asked->client, asked->provider, &r->connection_id);
}

/*
 * Whether a commit whose answer was lost was a commit after all. Asked on a unit of work of its
 * own, for the first may have no time left.
 */
static int was_removed(const struct work *w, const struct custody *c, const struct removing *r)
{
	struct work side;
	int begun = 0;

	work_begin(&side, SPARE_MS);
	side.origin = w->origin;
	if (!store_db_ready(&side, c->db) && store_revocation_begun(&side, c->db, r->connection_id,
						     r->retired.generation, &begun))
		begun = 0;
	work_end(&side);
	return begun;
}

/* The token is gone here, and that is what counts: what fails now is noted, and made good later. */
static void forgive(struct work *w, const char *event, enum err err)
{
	if (err && err != ERR_NOT_FOUND)
		log_event(LOG_ERROR, event, LOG_TEXT("request", w->origin.request_id),
			LOG_TEXT("error", err_slug(err)), LOG_TEXT("why", w->cause));
	work_forgive(w);
}

/* The word that says most of what is left to do. */
static const char *worse(const char *a, const char *b)
{
	static const char *const words[] = {PENDING, UNCONFIRMED, GONE, ACCEPTED};
	size_t i = 0;

	while (i < sizeof(words) / sizeof(*words) - 1 && !text_equal(a, words[i]) &&
		!text_equal(b, words[i]))
		i++;
	return words[i];
}

/* All that may still live of the connection, as far as there is time; the refresher does the rest.
 */
static enum err revoke_now(struct work *w, const struct custody *c, const struct removing *r)
{
	const int64_t one_ms = conf_number(c->conf, CONF_provider_timeout_s) * 1000 + SPARE_MS;
	const char *word = PENDING, *all = ACCEPTED;
	struct store_revocation row;
	enum err err = store_revocation_claim(w, c->db, r->connection_id, &row);

	while (!err) {
		err = go_on(w, c, &row, &word);
		all = worse(all, err ? PENDING : word);
		if (err || text_equal(word, PENDING))
			break;
		if (work_left_ms(w) < one_ms) {
			all = PENDING;
			break;
		}
		err = store_revocation_claim(w, c->db, r->connection_id, &row);
	}
	if (!err || err == ERR_NOT_FOUND)
		r->asked->revocation = worse(all, word);
	return err;
}

enum err custody_revoke_remove(
	struct work *w, const struct custody *c, struct custody_removal *asked)
{
	struct removing r = {.asked = asked};
	struct custody_persisted persisted;
	struct custody_place place;
	enum err err = find_connection(w, c, &r);

	if (!err && !asked->places)
		err = work_cause(w, ERR_BUG, "this pool asks no provider");
	if (!err)
		err = store_db_transaction(w, c->db, remove_token, &r);
	if ((err == ERR_DB_AWAY || err == ERR_DB_TIMEOUT) && r.retired.generation &&
		was_removed(w, c, &r)) {
		work_forgive(w);
		err = ERR_OK;
	}
	if (err)
		return err;
	asked->revocation = PENDING;
	forgive(w, "distribute.failed", custody_distribute(w, c, r.connection_id, &persisted));
	if (custody_place_to_renew(w, c, asked->places, asked->provider, &place))
		forgive(w, "revocation.failed", revoke_now(w, c, &r));
	custody_place_leave(&place);
	return ERR_OK;
}

/* --- the refresher's part --------------------------------------------------------------------- */

struct round {
	const char *places[PLACES_MAX]; /* where somebody was asked in vain */
	size_t n;
};

static void count(struct custody_revoked *revoked, const char *word)
{
	if (text_equal(word, ACCEPTED))
		revoked->accepted++;
	else if (text_equal(word, GONE))
		revoked->gone++;
	else if (text_equal(word, UNCONFIRMED))
		revoked->unconfirmed++;
	else
		revoked->pending++;
}

/* A unit of work of its own, so that the secrets of no more than one are open. Returns:
 * ERR_NOT_FOUND when there is none. */
static enum err take_one(struct work *w, const struct custody *c, struct round *round,
	struct custody_revoked *revoked)
{
	struct store_revocation row;
	struct work own;
	const char *word = PENDING;
	enum err err;

	work_begin(&own, conf_number(c->conf, CONF_provider_timeout_s) * 1000 + SPARE_MS);
	own.origin = w->origin;
	err = store_revocation_claim_any(&own, c->db, round->places, round->n, &row);
	if (!err)
		err = go_on(&own, c, &row, &word);
	if (!err)
		count(revoked, word);
	if (!err && text_equal(word, PENDING))
		round->places[round->n++] = work_printf(w, "%s %s", row.provider, row.datacenter);
	if (err && err != ERR_NOT_FOUND)
		work_cause(w, err, "%s", own.cause ? own.cause : err_slug(err));
	work_end(&own);
	return err;
}

enum err custody_revoke_pending(struct work *w, const struct custody *c, int64_t until_ms,
	const volatile sig_atomic_t *stop, struct custody_revoked *revoked)
{
	struct round round = {.n = 0};
	enum err err = ERR_OK;

	*revoked = (struct custody_revoked){0};
	while (!err && round.n < PLACES_MAX && !(stop && *stop) && clock_monotonic_ms() < until_ms)
		err = take_one(w, c, &round, revoked);
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}
