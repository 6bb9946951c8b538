/*
 * Starting a flow. It decides what is remembered until the callback: the state's hash, the verifier
 * sealed, whose flow it is and where it began. The state itself leaves in the URL and is kept
 * nowhere.
 */
#include "custody/flow.h"

#include "base/text.h"
#include "custody/app.h"
#include "custody/attempt.h"
#include "custody/trouble.h"
#include "oauth/authorize.h"
#include "store/attempt.h"
#include "store/audit.h"
#include "store/client.h"
#include "store/connection.h"
#include "vault/crypto.h"
#include "vault/seal.h"

#include <string.h>

#define RANDOM_BYTES 32

struct beginning {
	const struct custody *c;
	struct custody_flow *flow;
	const struct oauth_provider *provider;
	struct custody_app app;
	struct store_attempt attempt;
};

/* 256 bits as text: 43 characters of the unreserved set. Source: RFC 6749 section 10.10, RFC 7636
 * section 4.1. */
static enum err random_text(struct work *w, char **text)
{
	unsigned char bytes[RANDOM_BYTES];
	enum err err = vault_crypto_random(bytes, sizeof(bytes));

	if (!err)
		*text = text_base64url(w, bytes, sizeof(bytes));
	secret_wipe(bytes, sizeof(bytes));
	return err;
}

/* Makes the verifier, keeps it sealed in the attempt, and gives its challenge. */
static enum err make_verifier(
	struct work *w, const struct custody *c, struct beginning *b, const char **challenge)
{
	unsigned char digest[32];
	struct vault_blob blob;
	struct secret *secret;
	char *verifier = NULL;
	enum err err;

	*challenge = NULL;
	if (!b->provider->pkce)
		return ERR_OK;
	err = random_text(w, &verifier);
	if (err)
		return err;
	err = vault_crypto_sha256(verifier, strlen(verifier), digest);
	if (err)
		return err;
	*challenge = text_base64url(w, digest, sizeof(digest));
	secret = secret_new(w, verifier, strlen(verifier));
	if (!secret)
		return ERR_NO_MEMORY;
	err = custody_attempt_seal(
		w, c, b->flow->client, b->provider->name, b->attempt.state_hash, secret, &blob);
	b->attempt.verifier = (struct store_sealed){blob.bytes, blob.n};
	return err;
}

static enum err prepare(struct work *w, const struct custody *c, struct beginning *b)
{
	const char *challenge = NULL;
	char *state = NULL, *url = NULL;
	enum err err = random_text(w, &state);

	if (err)
		return err;
	err = vault_crypto_sha256(state, strlen(state), b->attempt.state_hash);
	if (!err)
		err = make_verifier(w, c, b, &challenge);
	if (!err)
		err = oauth_authorize_url(w, &b->app.target, &b->app.oauth, state, challenge, &url);
	b->flow->authorization_url = url;
	return err;
}

static enum err note(
	struct work *w, struct store_db *db, const struct beginning *b, const char *action)
{
	return store_audit_add(w, db,
		&(struct store_event){.action = action,
			.client = b->flow->client,
			.provider = b->provider->name,
			.connection_id = b->attempt.connection_id,
			.incident_id = b->attempt.incident_id,
			.reason = b->flow->reason});
}

static enum err open_emergency(struct work *w, struct store_db *db, struct beginning *b)
{
	const struct custody_trouble trouble = {b->attempt.connection_id, b->flow->client,
		b->provider->name, NULL, b->flow->reason, 0};
	enum err err = custody_trouble_open(w, db, &trouble, &b->attempt.incident_id);

	b->flow->incident_id = b->attempt.incident_id;
	return err ? err : note(w, db, b, "emergency.requested");
}

static enum err begin(struct work *w, struct store_db *db, void *context)
{
	struct beginning *b = context;
	int is_new = 0;
	int64_t *id = &b->attempt.connection_id;
	enum err err =
		store_client_get(w, db, b->flow->client, NULL); /* once more: it may be gone */

	if (err)
		return err;
	err = b->flow->may_connect
		      ? store_connection_ensure(
				w, db, b->flow->client, b->provider->name, id, &is_new)
		      : store_connection_find(w, db, b->flow->client, b->provider->name, id);

	if (!err && is_new)
		err = note(w, db, b, "connection.added");
	if (!err && b->flow->kind == CUSTODY_FLOW_EMERGENCY)
		err = open_emergency(w, db, b);
	if (!err)
		err = store_attempt_begin(
			w, db, &b->attempt, CUSTODY_FLOW_LIFE_S, &b->flow->expires_at);
	return err ? err : note(w, db, b, "authorize.started");
}

enum err custody_flow_begin(struct work *w, const struct custody *c, struct custody_flow *flow)
{
	struct beginning b = {.c = c, .flow = flow};
	enum err err = custody_provider(w, c, flow->provider, &b.provider);

	if (!err)
		err = store_client_get(w, c->db, flow->client, NULL);
	if (!err)
		err = custody_app_find(w, c, b.provider, flow->client, &b.app);
	if (err)
		return err;
	b.attempt.app_id = b.app.row.id;
	b.attempt.kind = flow->kind == CUSTODY_FLOW_EMERGENCY ? "emergency" : "authorize";
	b.attempt.datacenter = b.app.target.datacenter ? b.app.target.datacenter->name : "";
	b.attempt.actor = w->origin.actor;
	err = prepare(w, c, &b);
	return err ? err : store_db_transaction(w, c->db, begin, &b);
}
