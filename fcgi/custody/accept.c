/*
 * Storing a proved token. It decides the order of things within the transaction: lock, retire, put,
 * tell. Nobody can see a token of which the audit trail does not know.
 */
#include "custody/accept.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "custody/account.h"
#include "custody/token.h"
#include "store/attempt.h"
#include "store/audit.h"
#include "store/connection.h"
#include "vault/fingerprint.h"

struct acceptance {
	const struct custody *c;
	struct custody_acceptance *asked;
	const struct secret *refresh; /* the answer's, or the one that is kept; NULL: none */
	int64_t goes_on;              /* the generation whose grant it is; 0: a grant of its own */
	struct store_token row;
	enum custody_account_is account_is;
	int is_vouched;      /* nobody knows whose it is, and an administrator says it is the pinned
				one's */
	const char *pinned;  /* before; or NULL */
	const char *account; /* the fingerprint that is pinned from now on; NULL: as it is */
};

static struct custody_token_place place_of(
	const struct custody_acceptance *asked, const char *column, int64_t generation)
{
	return (struct custody_token_place){
		asked->client, asked->provider->name, column, generation};
}

static enum err seal(struct work *w, const struct acceptance *a, const char *column,
	const struct secret *secret, struct store_sealed *sealed, const char **fingerprint)
{
	const struct custody_token_place place = place_of(a->asked, column, a->asked->generation);

	return custody_token_seal(w, a->c, &place, secret, sealed, fingerprint);
}

/* --- the account ------------------------------------------------------------------------------ */

static enum err compare_account(struct work *w, struct acceptance *a, const char *pinned)
{
	struct custody_acceptance *asked = a->asked;
	enum err err = ERR_OK;

	a->is_vouched = asked->held_attempt_id && !asked->account && pinned &&
			text_equal(asked->accept_account, pinned);
	if (!a->is_vouched)
		err = custody_account_check(
			w, a->c, asked->provider, pinned, asked->account, asked->accept_account);
	a->pinned = pinned;
	a->account_is = custody_account_compare(a->c, pinned, asked->account);
	a->account = asked->account ? vault_fingerprint(w, a->c->keyring, asked->account) : NULL;
	asked->pinned = pinned;
	asked->found = err == ERR_ACCOUNT_CHANGED ? a->account : NULL;
	return !err && asked->account && !a->account ? ERR_KEY_UNKNOWN : err;
}

static int is_another_account(const struct acceptance *a)
{
	return a->account_is == CUSTODY_ACCOUNT_OTHER ||
	       a->account_is == CUSTODY_ACCOUNT_UNREADABLE;
}

/* What the trail says of the account; NULL: nothing new. */
static const char *account_action(const struct acceptance *a)
{
	if (is_another_account(a))
		return "connection.account_changed";
	if (!a->pinned && a->account)
		return "connection.account_pinned";
	return (a->is_vouched || !a->pinned) && a->asked->provider->identity.url
		       ? "connection.account_unknown"
		       : NULL;
}

static enum err tell_account(struct work *w, struct store_db *db, const struct acceptance *a)
{
	const struct custody_acceptance *asked = a->asked;
	const char *action = account_action(a);

	if (!action)
		return ERR_OK;
	return store_audit_add(w, db,
		&(struct store_event){.action = action,
			.client = asked->client,
			.provider = asked->provider->name,
			.connection_id = asked->connection_id,
			.incident_id = asked->incident_id,
			.generation = asked->generation,
			.reason = asked->reason,
			.detail_json = custody_account_detail(w, a->pinned, a->account)});
}

/* --- the token -------------------------------------------------------------------------------- */

/* A provider that repeats no refresh token means the old one to be kept. Source: RFC 6749
 * section 6. Not for another account, whose grant it is not; and one of a grant whose account was
 * never asked says nothing of the new one's, nor that of it: nothing is pinned then. */
static enum err keep_refresh(struct work *w, struct store_db *db, struct acceptance *a)
{
	const struct custody_acceptance *asked = a->asked;
	struct store_current old;
	struct custody_token_place place;
	struct secret *refresh = NULL;
	enum err err = store_token_current(w, db, asked->connection_id, &old);

	if (err || is_another_account(a) || !old.refresh.bytes || old.app_id != asked->app_id ||
		!text_equal(old.datacenter, asked->datacenter))
		return err;
	place = place_of(asked, "refresh", old.generation);
	err = custody_token_open(w, a->c, &place, &old.refresh, &refresh);
	a->refresh = refresh;
	a->goes_on = refresh ? old.generation : 0;
	if (refresh && !a->pinned)
		a->account = NULL;
	if (err == ERR_SEALED) { /* what cannot be read cannot be kept */
		log_event(LOG_ERROR, "refresh_token.unreadable", LOG_TEXT("client", asked->client),
			LOG_TEXT("provider", asked->provider->name),
			LOG_INT("generation", old.generation));
		work_forgive(w);
		return ERR_OK;
	}
	return err;
}

static enum err put(struct work *w, struct store_db *db, struct acceptance *a)
{
	const struct custody_acceptance *asked = a->asked;
	const struct oauth_token *token = asked->token;
	struct store_token *row = &a->row;
	enum err err;

	*row = (struct store_token){
		.connection_id = asked->connection_id,
		.generation = asked->generation,
		.token_type = token->token_type,
		.lifetime_s = token->expires_in_s,
		.grant_ttl_s = token->refresh_expires_in_s > 0 ? token->refresh_expires_in_s
							       : asked->provider->grant_ttl_s,
		.idle_ttl_s = asked->provider->idle_ttl_s,
		.age_s = (clock_monotonic_ms() - asked->asked_ms + 999) / 1000,
		.goes_on = token->refresh_expires_in_s > 0 ? 0 : a->goes_on,
	};
	err = seal(w, a, "access", token->access, &row->access, &row->access_fingerprint);
	if (!err && a->refresh)
		err = seal(w, a, "refresh", a->refresh, &row->refresh, &row->refresh_fingerprint);
	return err ? err : store_token_put(w, db, row);
}

static enum err grant(struct work *w, struct store_db *db, const struct custody_acceptance *asked,
	const char *account, int64_t refresh_period_s)
{
	const struct store_grant grant = {
		.app_id = asked->app_id,
		.generation = asked->generation,
		.datacenter = asked->datacenter,
		.api_domain = asked->token->api_domain,
		.scope = asked->token->scope,
		.kept_json = asked->kept_json,
		.cause = asked->cause,
		.renew_before_s = asked->provider->renew_before_s,
		.refresh_period_s = refresh_period_s,
		.account = account,
		.is_passive = asked->is_passive,
	};

	return store_connection_granted(w, db, asked->connection_id, &grant);
}

static enum err tell(struct work *w, struct store_db *db, const struct acceptance *a)
{
	const struct custody_acceptance *asked = a->asked;
	enum err err = store_audit_add(w, db,
		&(struct store_event){.action = asked->action,
			.client = asked->client,
			.provider = asked->provider->name,
			.connection_id = asked->connection_id,
			.incident_id = asked->incident_id,
			.generation = asked->generation,
			.fingerprint = a->row.access_fingerprint,
			.reason = asked->reason,
			.detail_json = asked->detail_json});

	if (!err)
		err = tell_account(w, db, a);
	if (!err && asked->attempt_id)
		err = store_attempt_end(w, db, asked->attempt_id, "granted");
	return err ? err
		   : store_token_announce(
			     w, db, asked->client, asked->provider->name, asked->generation);
}

/* What an attempt keeps for the connection is over when another token comes. */
static enum err clear_held(struct work *w, struct store_db *db, const struct acceptance *a)
{
	const struct custody_acceptance *asked = a->asked;
	int was_there = 0;
	enum err err =
		store_attempt_take(w, db, asked->connection_id, asked->held_attempt_id, &was_there);

	if (err || was_there || !asked->held_attempt_id)
		return err;
	return work_fail(w, ERR_CONFLICT,
		"Somebody else has changed the connection meanwhile; look at it again.");
}

/* A refresh token that a rotation has used up must never come back by an undo. */
static enum err note_spent(struct work *w, struct store_db *db, const struct acceptance *a)
{
	const char *fingerprint = vault_fingerprint(w, a->c->keyring, a->asked->spent);

	return fingerprint ? store_token_spent(w, db, a->asked->connection_id, fingerprint)
			   : ERR_KEY_UNKNOWN;
}

/* The one that was there goes into history, and what history says of others stays true. */
static enum err make_place(struct work *w, struct store_db *db, const struct acceptance *a)
{
	const struct custody_acceptance *asked = a->asked;
	struct store_retired retired;
	enum err err = ERR_OK;

	if (asked->taken_back)
		err = store_token_take_back(
			w, db, asked->connection_id, asked->taken_back, asked->generation);
	if (err == ERR_CONFLICT)
		return work_fail(w, err,
			"Somebody else has changed the connection meanwhile; look at it again.");
	if (!err)
		err = store_token_retire(w, db, asked->connection_id, asked->action,
			w->origin.actor, asked->reason, &retired);
	if (!err && asked->spent)
		err = note_spent(w, db, a);
	return err;
}

static enum err accept(struct work *w, struct store_db *db, void *context)
{
	struct acceptance *a = context;
	struct custody_acceptance *asked = a->asked;
	struct store_connection connection;
	enum err err = store_connection_lock(w, db, asked->connection_id, &connection);

	if (!err)
		err = compare_account(w, a, connection.account);
	if (!err)
		err = clear_held(w, db, a);
	if (err)
		return err;
	asked->generation = connection.last_generation + 1;
	a->refresh = asked->token->refresh;
	a->goes_on = asked->taken_back;
	if (!a->refresh && !asked->is_all && text_equal(connection.state, "live"))
		err = keep_refresh(w, db, a);
	if (!err)
		err = make_place(w, db, a);
	if (!err)
		err = put(w, db, a);
	if (!err && asked->is_mint)
		err = store_connection_mint(w, db, asked->connection_id);
	if (!err)
		err = grant(
			w, db, asked, a->account, conf_number(a->c->conf, CONF_refresh_period_s));
	return err ? err : tell(w, db, a);
}

enum err custody_accept(struct work *w, const struct custody *c, struct custody_acceptance *asked)
{
	struct acceptance a = {.c = c, .asked = asked};
	/* The connection may have gone while the provider was asked; the token must not go with it.
	 */
	enum err err = store_db_ready(w, c->db);

	return err ? err : store_db_transaction(w, c->db, accept, &a);
}
