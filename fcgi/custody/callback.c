/*
 * Ending a flow. It decides the order: the attempt is used up and committed before a byte goes out,
 * everything the callback says is checked against the definition before that too, and nothing
 * replaces a token before it is proved.
 */
#include "custody/callback.h"

#include "base/clock.h"
#include "base/jout.h"
#include "base/log.h"
#include "base/text.h"
#include "custody/accept.h"
#include "custody/account.h"
#include "custody/app.h"
#include "custody/ask.h"
#include "custody/attempt.h"
#include "custody/flow.h"
#include "custody/held.h"
#include "oauth/callback.h"
#include "store/attempt.h"
#include "store/audit.h"
#include "store/report.h"
#include "vault/crypto.h"

#include <string.h>

#define KEPT_MAX_BYTES 4096
#define SIDE_MS 5000

struct ending {
	const struct custody *c;
	struct custody_callback *asked;
	const struct oauth_provider *provider;
	struct store_attempt attempt;
	const struct oauth_datacenter *datacenter;
	struct custody_app app;
	struct oauth_token token;
	const struct secret *account;
	struct custody_acceptance acceptance;
	const char *cause;
	int64_t asked_ms;
};

static const char *param(const struct ending *e, const char *name)
{
	return name ? e->asked->param(e->asked->context, name) : NULL;
}

static enum err unknown_state(struct work *w)
{
	return work_fail(w, ERR_STATE_UNKNOWN,
		"Nothing was changed. Start the authorization anew: each is good for one use "
		"within %d minutes.",
		CUSTODY_FLOW_LIFE_S / 60);
}

static enum err consume(struct work *w, struct ending *e)
{
	const char *state = param(e, "state");
	enum err err;

	if (!state || !*state)
		return unknown_state(w);
	err = vault_crypto_sha256(state, strlen(state), e->attempt.state_hash);
	if (!err)
		err = store_attempt_consume(w, e->c->db, e->provider->name, &e->attempt);
	if (err == ERR_STATE_UNKNOWN)
		return unknown_state(w);
	if (!err)
		w->origin.actor =
			e->attempt.actor; /* whoever began the flow ends it; the state proves it */
	return err;
}

/* Source: RFC 6749 section 4.1.2.1. Anything else a provider says there is not repeated. */
static enum err refusal(struct work *w, const char *error)
{
	static const char *const away[] = {"server_error", "temporarily_unavailable"};

	for (size_t i = 0; i < sizeof(away) / sizeof(*away); i++)
		if (text_equal(error, away[i])) {
			work_cause(w, ERR_PROVIDER_UNAVAILABLE, "%s", away[i]);
			return work_fail(w, ERR_PROVIDER_UNAVAILABLE,
				"The provider could not show its consent page. Start the "
				"authorization again later.");
		}
	return work_fail(w, ERR_AUTHORIZATION_DENIED, "%s",
		text_equal(error, "access_denied")
			? "The consent was refused at the provider. Nothing was changed."
			: "The provider refused the authorization request. Nothing was changed.");
}

static enum err check_callback(struct work *w, struct ending *e)
{
	const struct oauth_callback_names *names = &e->provider->callback_datacenter;
	const struct oauth_datacenter *start =
		oauth_provider_datacenter(e->provider, e->attempt.datacenter);
	enum err err = oauth_callback_issuer(w, e->provider, param(e, "iss"));

	if (!err)
		err = oauth_callback_datacenter(w, e->provider, start, param(e, names->location),
			param(e, names->server), &e->datacenter);
	if (!err && param(e, "error"))
		err = refusal(w, param(e, "error"));
	else if (!err && !param(e, "code"))
		err = work_fail_field(w, "code", "is missing, and so is error");
	return err;
}

static enum err open_verifier(struct work *w, const struct ending *e, struct secret **verifier)
{
	const struct vault_blob blob = {
		(unsigned char *)(uintptr_t)e->attempt.verifier.bytes, e->attempt.verifier.n};

	*verifier = NULL;
	if (!blob.bytes)
		return ERR_OK;
	return custody_attempt_open(w, e->c, e->attempt.client, e->provider->name,
		e->attempt.state_hash, &blob, verifier);
}

static enum err exchange(struct work *w, struct ending *e)
{
	const char *code = param(e, "code");
	struct secret *verifier = NULL, *code_secret;
	enum err err =
		custody_app_at(w, e->c, e->provider, e->attempt.app_id, e->datacenter, &e->app);

	if (!err)
		err = open_verifier(w, e, &verifier);
	if (err)
		return err;
	code_secret = secret_new(w, code, strlen(code));
	if (!code_secret)
		return ERR_NO_MEMORY;
	e->asked_ms = clock_monotonic_ms();
	return custody_ask_code(w, e->c, &e->app, code_secret, verifier, &e->token);
}

static enum err prove(struct work *w, struct ending *e)
{
	struct oauth_outcome outcome;
	enum err err;

	e->app.target.api_domain = e->token.api_domain;
	err = custody_ask_probe(w, e->c, &e->app, e->token.access, &outcome);
	if (err)
		return err;
	e->cause = outcome.verdict == OAUTH_SCOPE ? "scope_missing" : "none";
	return ERR_OK;
}

static enum err identify(struct work *w, struct ending *e)
{
	return custody_account_ask(w, e->c, &e->app, e->token.access, &e->account);
}

static const char *kept(struct work *w, const struct ending *e)
{
	const struct oauth_words *keep = &e->provider->callback_keep;
	struct buf buf;
	struct jout j;

	buf_init(&buf, w, KEPT_MAX_BYTES);
	jout_init(&j, &buf);
	jout_object(&j, NULL);
	for (size_t i = 0; i < keep->count; i++)
		if (param(e, keep->items[i]))
			jout_text(&j, keep->items[i], param(e, keep->items[i]));
	jout_end_object(&j);
	return buf.overflow ? "{}" : buf.data;
}

static enum err keep_token(struct work *w, struct ending *e)
{
	e->acceptance = (struct custody_acceptance){
		.connection_id = e->attempt.connection_id,
		.app_id = e->app.row.id,
		.client = e->attempt.client,
		.provider = e->provider,
		.datacenter = e->datacenter ? e->datacenter->name : "",
		.kept_json = kept(w, e),
		.token = &e->token,
		.cause = e->cause,
		.action = "authorize.completed",
		.incident_id = e->attempt.incident_id,
		.attempt_id = e->attempt.id,
		.asked_ms = e->asked_ms,
		.account = e->account,
	};
	return custody_accept(w, e->c, &e->acceptance);
}

static enum err record_failure(struct work *w, struct store_db *db, void *context)
{
	const struct ending *e = context;
	const char *slug = e->cause;
	enum err err = store_audit_add(w, db,
		&(struct store_event){.action = "authorize.failed",
			.outcome = text_equal(slug, "authorization_denied") ||
						   text_equal(slug, "state_unknown")
					   ? "denied"
					   : "error",
			.client = e->attempt.client,
			.provider = e->provider->name,
			.connection_id = e->attempt.connection_id,
			.incident_id = e->attempt.incident_id,
			.reason = slug});

	if (!err && e->attempt.id)
		err = store_attempt_end(w, db, e->attempt.id, slug);
	return err;
}

/* Ends the attempt. When even that cannot be written, it stays used up, and the answer is still the
 * first fault. */
static enum err fail(struct work *w, struct ending *e, enum err err)
{
	struct work side;

	e->cause = err_slug(err);
	work_begin(&side, SIDE_MS);
	side.origin = w->origin;
	if (store_db_ready(&side, e->c->db) ||
		store_db_transaction(&side, e->c->db, record_failure, e))
		log_event(LOG_ERROR, "audit.not_written", LOG_TEXT("action", "authorize.failed"),
			LOG_TEXT("request", w->origin.request_id), LOG_TEXT("why", side.cause));
	work_end(&side);
	return err;
}

/* The token of another account waits for an administrator's word. */
static enum err hold(struct work *w, struct ending *e)
{
	const struct custody_acceptance *refused = &e->acceptance;
	enum err err;

	work_forgive(w);
	err = custody_held_keep(w, e->c, &e->attempt, refused);
	if (err)
		return fail(w, e, err);
	work_tell(w, "pinned", refused->pinned);
	work_tell(w, "found", refused->found);
	return work_fail(w, ERR_ACCOUNT_CHANGED,
		"The consent was given with another account (%s) than the one that %s is connected "
		"with (%s). Nothing was changed: the token that was there stays in use. If this "
		"was the wrong account, start the authorization again and sign in with the right "
		"one. If the account has really changed, an administrator can accept it within %d "
		"minutes: POST /api/oauth/accept-account/%s with provider and acceptAccount.",
		refused->found, e->attempt.client, refused->pinned, CUSTODY_HELD_LIFE_S / 60,
		e->attempt.client);
}

/*
 * Whether a commit whose answer was lost was a commit after all: the attempt's outcome is written
 * in it. Asked on a unit of work of its own, for the first may have no time left.
 */
static int was_granted(const struct work *w, const struct ending *e)
{
	const char *outcome = NULL;
	struct work side;
	int granted;

	work_begin(&side, SIDE_MS);
	side.origin = w->origin;
	granted = !store_db_ready(&side, e->c->db) &&
		  !store_attempt_outcome(&side, e->c->db, e->attempt.id, &outcome) &&
		  text_equal(outcome, "granted");
	work_end(&side);
	return granted;
}

/* The token is stored, and that is what counts: what fails now is noted, and made good by the next
 * run. */
static enum err finish(struct work *w, struct ending *e)
{
	const char *cause = NULL;
	enum err err;

	e->asked->client = e->attempt.client;
	err = custody_distribute(w, e->c, e->attempt.connection_id, &e->asked->persisted);
	if (!err)
		err = store_report_one(
			w, e->c->db, e->attempt.connection_id, &e->asked->status, &cause);
	if (err)
		log_event(LOG_ERROR, "distribute.failed", LOG_TEXT("request", w->origin.request_id),
			LOG_TEXT("error", err_slug(err)), LOG_TEXT("why", w->cause));
	work_forgive(w);
	return ERR_OK;
}

enum err custody_callback(struct work *w, const struct custody *c, struct custody_callback *asked)
{
	struct ending e = {.c = c, .asked = asked, .provider = asked->provider, .cause = "none"};
	enum err err;

	err = consume(w, &e);
	if (!err)
		err = check_callback(w, &e);
	if (!err)
		err = exchange(w, &e);
	if (!err)
		err = prove(w, &e);
	if (!err)
		err = identify(w, &e);
	if (!err)
		err = keep_token(w, &e);
	if (err == ERR_ACCOUNT_CHANGED)
		return hold(w, &e);
	e.asked->generation = e.acceptance.generation;
	if ((err == ERR_DB_AWAY || err == ERR_DB_TIMEOUT) && e.asked->generation &&
		was_granted(w, &e))
		err = ERR_OK;
	return err ? fail(w, &e, err) : finish(w, &e);
}
