/*
 * Keeping a token of another account aside. It decides what is needed to take it into custody later
 * as if it had just come, and what an administrator has to say for that.
 */
#include "custody/held.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "custody/account.h"
#include "custody/keep.h"
#include "custody/parcel.h"
#include "store/audit.h"
#include "store/client.h"
#include "store/connection.h"
#include "store/report.h"
#include "store/token.h"
#include "vault/fingerprint.h"
#include "vault/seal.h"

#include <string.h>

/* It opens for its attempt alone. */
static struct vault_binding binding_of(
	struct work *w, const char *client, const char *provider, const unsigned char *state_hash)
{
	return (struct vault_binding){
		.purpose = "attempt",
		.client = client,
		.provider = provider,
		.column =
			work_printf(w, "held/%s", text_hex(w, state_hash, STORE_STATE_HASH_BYTES)),
	};
}

/* --- keeping ---------------------------------------------------------------------------------- */

struct keeping {
	const struct store_attempt *attempt;
	const struct custody_acceptance *refused;
	struct store_sealed sealed;
	const char *spent; /* the fingerprint of what the provider has replaced; or NULL */
	int64_t age_s, life_s;
};

static enum err keep(struct work *w, struct store_db *db, void *context)
{
	const struct keeping *k = context;
	const struct custody_acceptance *refused = k->refused;
	struct store_connection connection;
	enum err err = store_connection_lock(w, db, refused->connection_id, &connection);

	if (!err)
		err = store_attempt_hold(w, db, k->attempt->id, &k->sealed, k->life_s, k->age_s);
	if (!err && k->spent)
		err = store_token_spent(w, db, refused->connection_id, k->spent);
	return err ? err
		   : store_audit_add(w, db,
			     &(struct store_event){.action = "authorize.failed",
				     .outcome = "denied",
				     .client = refused->client,
				     .provider = refused->provider->name,
				     .connection_id = refused->connection_id,
				     .incident_id = refused->incident_id,
				     .reason =
					     err_slug(refused->account ? ERR_ACCOUNT_CHANGED
								       : ERR_PROVIDER_UNAVAILABLE),
				     .detail_json = custody_account_detail(
					     w, refused->pinned, refused->found)});
}

enum err custody_held_keep(struct work *w, const struct custody *c,
	const struct store_attempt *attempt, const struct custody_acceptance *refused)
{
	const struct vault_binding binding =
		binding_of(w, refused->client, refused->provider->name, attempt->state_hash);
	const struct oauth_token *token = refused->token;
	struct keeping k = {.attempt = attempt,
		.refused = refused,
		.age_s = (clock_monotonic_ms() - refused->asked_ms + 999) / 1000,
		.life_s = CUSTODY_HELD_LIFE_S};
	struct vault_blob blob;
	struct secret *text = NULL;
	enum err err = custody_parcel_write(w, refused, &text);

	if (!err)
		err = vault_seal_close(w, c->keyring, VAULT_RING_TOKEN, &binding, text, &blob);
	if (!err)
		err = store_db_ready(w, c->db);
	if (err)
		return err;
	if (refused->spent) {
		k.spent = vault_fingerprint(w, c->keyring, refused->spent);
		if (!k.spent)
			return ERR_KEY_UNKNOWN;
	}
	k.sealed = (struct store_sealed){blob.bytes, blob.n};
	if (!token->refresh && token->expires_in_s >= 0 && token->expires_in_s - k.age_s < k.life_s)
		k.life_s = token->expires_in_s - k.age_s;
	return store_db_transaction(w, c->db, keep, &k);
}

/* --- taking ----------------------------------------------------------------------------------- */

static enum err open_held(struct work *w, const struct custody *c,
	const struct custody_held_taking *taking, const struct store_held *held,
	struct custody_parcel *kept)
{
	const struct vault_binding binding =
		binding_of(w, taking->client, taking->provider, held->state_hash);
	const struct vault_blob blob = {
		(unsigned char *)(uintptr_t)held->sealed.bytes, held->sealed.n};
	struct secret *text = NULL;
	enum err err = vault_seal_open(w, c->keyring, VAULT_RING_TOKEN, &binding, &blob, &text);

	if (!err)
		err = custody_parcel_read(w, text, held->age_s, kept);
	return err;
}

static enum err check_input(struct work *w, const struct custody *c,
	const struct custody_held_taking *taking, const struct oauth_provider **provider)
{
	enum err err = custody_provider(w, c, taking->provider, provider);

	if (!custody_account_is_fingerprint(taking->accept_account))
		err = work_fail_field(w, "acceptAccount",
			"is no fingerprint: give the 40 digits that the answer named as found");
	return err;
}

static enum err find(struct work *w, const struct custody *c,
	const struct custody_held_taking *taking, struct store_held *held)
{
	int64_t id = 0;
	enum err err = store_client_get(w, c->db, taking->client, NULL);

	if (!err)
		err = store_connection_find(w, c->db, taking->client, taking->provider, &id);
	if (!err)
		err = store_attempt_held(w, c->db, taking->client, taking->provider, held);
	if (!err && !held->waits)
		return work_fail(w, ERR_CONFLICT,
			"The token of the other account was kept until %s and is gone. Start the "
			"authorization again.",
			held->until);
	if (err == ERR_NOT_FOUND || (!err && !held->sealed.bytes))
		return work_fail(w, ERR_NOT_FOUND,
			"No token of another account is waiting for this connection: there was "
			"none, or another token has come since.");
	return err;
}

static enum err check_account(struct work *w, const struct custody *c,
	const struct custody_held_taking *taking, const struct store_held *held,
	const struct custody_acceptance *kept)
{
	if (kept->account ? vault_fingerprint_matches(
				    c->keyring, taking->accept_account, kept->account)
			  : text_equal(taking->accept_account, held->pinned))
		return ERR_OK;
	if (held->pinned)
		work_tell(w, "pinned", held->pinned);
	if (!kept->account)
		return work_fail(w, ERR_ACCOUNT_CHANGED,
			"The provider did not say whose account the token that waits belongs to: "
			"only the one that this connection is bound to can be vouched for. "
			"Nothing was changed.");
	work_tell(w, "found", vault_fingerprint(w, c->keyring, kept->account));
	return work_fail(w, ERR_ACCOUNT_CHANGED,
		"The token that waits belongs to another account than the one that was accepted. "
		"Nothing was changed.");
}

static void distribute(struct work *w, const struct custody *c, int64_t connection_id,
	struct custody_held_taking *taking)
{
	const char *cause = NULL;
	enum err err = custody_distribute(w, c, connection_id, &taking->persisted);

	if (!err)
		err = store_report_one(w, c->db, connection_id, &taking->status, &cause);
	if (err) /* the token is stored: the next run brings the other stores up to date */
		log_event(LOG_ERROR, "distribute.failed", LOG_TEXT("request", w->origin.request_id),
			LOG_TEXT("error", err_slug(err)), LOG_TEXT("why", w->cause));
	work_forgive(w);
}

enum err custody_held_take(
	struct work *w, const struct custody *c, struct custody_held_taking *taking)
{
	const struct oauth_provider *provider = NULL;
	struct store_held held = {0};
	struct custody_parcel kept;
	struct custody_acceptance *acceptance = &kept.acceptance;
	enum err err = check_input(w, c, taking, &provider);

	if (!err)
		err = find(w, c, taking, &held);
	if (!err)
		err = open_held(w, c, taking, &held, &kept);
	if (!err)
		err = check_account(w, c, taking, &held, acceptance);
	if (err)
		return err;
	acceptance->connection_id = held.connection_id;
	acceptance->client = taking->client;
	acceptance->provider = provider;
	if (taking->reason)
		acceptance->reason = taking->reason;
	acceptance->incident_id = held.incident_id;
	acceptance->accept_account = taking->accept_account;
	acceptance->held_attempt_id = held.attempt_id;
	err = custody_accept(w, c, acceptance);
	if ((err == ERR_DB_AWAY || err == ERR_DB_TIMEOUT) &&
		custody_keep_is_stored(w, c, acceptance)) {
		work_forgive(w);
		err = ERR_OK;
	}
	if (err)
		return err;
	taking->generation = acceptance->generation;
	distribute(w, c, held.connection_id, taking);
	return ERR_OK;
}
