/*
 * Undoing. It decides how far back one can go: not past a removal, and to no refresh token that the
 * provider may have replaced. What has to be sent once only is claimed before it is sent.
 */
#include "custody/undo.h"

#include "base/log.h"
#include "base/text.h"
#include "custody/keep.h"
#include "custody/token.h"
#include "store/client.h"
#include "store/connection.h"
#include "store/token.h"
#include "vault/fingerprint.h"

#include <inttypes.h>

#define BUSY_S 2
#define SIDE_MS 5000

struct going_back {
	const struct custody *c;
	struct custody_undoing *asked;
	const struct oauth_provider *provider;
	int64_t connection_id;
	struct store_before before;
	struct custody_trial trial;
	struct custody_keeping keeping;
	int is_claimed;
};

static int rotates(const struct going_back *g)
{
	return g->provider->rotation != OAUTH_ROTATION_NEVER;
}

static enum err nothing(struct work *w, struct going_back *g, const char *what)
{
	g->trial.finding = "nothing_to_undo";
	return work_fail(w, ERR_NOTHING_TO_UNDO, "%s", what);
}

static enum err find(struct work *w, struct going_back *g)
{
	struct custody_undoing *asked = g->asked;
	enum err err = store_client_get(w, g->c->db, asked->client, NULL);

	if (!err)
		err = store_connection_find(
			w, g->c->db, asked->client, asked->provider, &g->connection_id);
	if (!err)
		err = store_token_before(w, g->c->db, g->connection_id, &g->before);
	asked->from = g->before.generation;
	return err;
}

/* Whether one can go back there at all. */
static enum err check(struct work *w, struct going_back *g)
{
	const struct store_before *before = &g->before;

	if (!before->generation)
		return nothing(w, g,
			"No token of an earlier grant is kept: there was none, or it is older than "
			"token_history_days, or an undo has brought it back already.");
	if (text_equal(before->ended_by, "token.removed") ||
		text_equal(before->ended_by, "token.revoked"))
		return nothing(w, g,
			"The token before was removed and revoked: no undo goes past that. "
			"Authorize "
			"the connection again.");
	if (before->refresh.bytes && before->is_spent && rotates(g))
		return nothing(w, g,
			"The provider has, or may have, replaced the refresh token of the grant "
			"before: it is never sent again. Authorize the connection again.");
	if (before->refresh.bytes && before->is_passive && rotates(g))
		return nothing(w, g,
			"The grant before was renewed by its old owner, and the provider replaces "
			"a refresh token that is sent. Import it again.");
	if (!before->refresh.bytes && before->lives_s == 0)
		return nothing(w, g,
			"The token before had no refresh token and has run out. Authorize the "
			"connection again.");
	return ERR_OK;
}

static enum err open_token(struct work *w, struct going_back *g, const char *column,
	const struct store_sealed *sealed, struct secret **token)
{
	const struct custody_token_place place = {
		g->asked->client, g->provider->name, column, g->before.generation};

	return custody_token_open(w, g->c, &place, sealed, token);
}

/* Only where the definition still has the data centre: its hosts are the only ones ever asked. */
static enum err prepare(struct work *w, struct going_back *g)
{
	const struct store_before *before = &g->before;
	struct custody_trial *trial = &g->trial;

	if (*before->datacenter && !oauth_provider_datacenter(g->provider, before->datacenter))
		return nothing(w, g, "The data centre of the grant before is no more defined.");
	trial->app_id = before->app_id;
	trial->datacenter = before->datacenter;
	trial->api_domain = before->api_domain;
	trial->expires_in_s = before->lives_s;
	return before->refresh.bytes
		       ? open_token(w, g, "refresh", &before->refresh, &trial->refresh)
		       : open_token(w, g, "access", &before->access, &trial->access);
}

/* --- what is sent once only
 * ----------------------------------------------------------------------- */

/* The mark is committed before anything is sent: a crash, or somebody else, never sends it again.
 */
static enum err claim(struct work *w, struct going_back *g)
{
	enum err err;

	if (!rotates(g) || !g->trial.refresh)
		return ERR_OK;
	err = custody_trial_may_begin(w, g->c, &g->trial);
	if (!err)
		err = store_token_spend(
			w, g->c->db, g->connection_id, g->before.generation, 1, &g->is_claimed);
	if (err || g->is_claimed)
		return err;
	g->trial.finding = "conflict";
	return work_fail(w, ERR_CONFLICT, "Somebody else is undoing the same at this moment.");
}

/* It was not used after all: it may be sent another time. */
static void unclaim(const struct work *w, const struct going_back *g)
{
	struct work side;
	int changed = 0;

	work_begin(&side, SIDE_MS);
	side.origin = w->origin;
	if (store_db_ready(&side, g->c->db) || store_token_spend(&side, g->c->db, g->connection_id,
						       g->before.generation, 0, &changed))
		log_event(LOG_WARN, "undo.mark_left", LOG_INT("connection", g->connection_id),
			LOG_INT("generation", g->before.generation), LOG_TEXT("why", side.cause));
	work_end(&side);
}

static enum err try_in_place(struct work *w, struct going_back *g)
{
	struct custody_place place = {-1, -1};
	enum err err;

	if (g->asked->places &&
		!custody_place_to_renew(w, g->c, g->asked->places, g->provider->name, &place)) {
		w->retry_after_s = BUSY_S;
		g->trial.finding = "busy";
		return work_fail(w, ERR_RENEWAL_DEFERRED,
			"Too many renewals are on their way. Nothing was tried; try again in a "
			"moment.");
	}
	err = custody_keep_begin(w, g->c, &g->trial, &g->keeping);
	if (!err)
		err = claim(w, g);
	if (!err)
		err = custody_trial(w, g->c, &g->trial);
	custody_place_leave(&place);
	return err;
}

/* --- bringing it back
 * ------------------------------------------------------------------------------ */

static enum err keep(struct work *w, struct going_back *g)
{
	const struct store_before *before = &g->before;
	struct custody_acceptance acceptance = {.connection_id = g->connection_id,
		.client = g->asked->client,
		.kept_json = before->kept_json,
		.action = "token.undone",
		.reason = g->asked->reason,
		.detail_json = work_printf(w, "{\"from\":%" PRId64 "}", before->generation),
		.is_passive = before->is_passive,
		.taken_back = before->generation};
	enum err err;

	/* it was this connection's before, and is meant: what was accepted once need not be again
	 */
	if (g->trial.account)
		acceptance.accept_account = vault_fingerprint(w, g->c->keyring, g->trial.account);
	if (!g->trial.token.scope)
		g->trial.token.scope = before->scope;
	err = custody_keep(w, g->c, &g->keeping, &g->trial, &acceptance, &g->asked->persisted,
		&g->asked->status);
	g->asked->generation = acceptance.generation;
	return err;
}

enum err custody_undo(struct work *w, const struct custody *c, struct custody_undoing *asked)
{
	struct going_back g = {.c = c, .asked = asked};
	enum err err = custody_provider(w, c, asked->provider, &g.provider);

	if (!err)
		err = find(w, &g);
	if (err)
		return err;
	g.trial = (struct custody_trial){.connection_id = g.connection_id, .provider = g.provider};
	err = check(w, &g);
	if (!err)
		err = prepare(w, &g);
	if (!err)
		err = try_in_place(w, &g);
	if (!err)
		err = keep(w, &g);
	custody_keep_end(&g.keeping, err);
	if (!err)
		return ERR_OK;
	if (g.is_claimed && !g.trial.maybe_done && !g.trial.is_replaced)
		unclaim(w, &g);
	return custody_keep_declined(w, c,
		&(struct custody_declined){"token.undone", asked->client, g.connection_id,
			asked->reason, &g.trial, asked->from},
		err);
}
