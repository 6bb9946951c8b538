/* Tokens: struct and row. Sealed bytes pass through and are never opened here. */
#include "store/token.h"

#include "store/api_key.h"
#include "store/connection.h"

static struct store_param sealed(const struct store_sealed *sealed)
{
	return sealed->bytes ? store_bytes(sealed->bytes, sealed->n) : store_null();
}

enum err store_token_put(struct work *w, struct store_db *db, const struct store_token *token)
{
	return store_run(w, db, STMT_TOKEN_PUT, NULL, store_int(token->connection_id),
		store_int(token->generation), sealed(&token->access), sealed(&token->refresh),
		store_text(token->access_fingerprint), store_text(token->refresh_fingerprint),
		store_text(token->token_type),
		store_int_or_null(token->lifetime_s, token->lifetime_s < 0),
		store_int_or_null(token->grant_ttl_s, token->grant_ttl_s <= 0),
		store_int_or_null(token->idle_ttl_s, token->idle_ttl_s <= 0),
		store_int(token->age_s), store_int_or_null(token->goes_on, token->goes_on == 0));
}

enum err store_token_retire(struct work *w, struct store_db *db, int64_t connection_id,
	const char *ended_by, const char *actor, const char *reason, struct store_retired *retired)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_TOKEN_RETIRE, &rows, store_int(connection_id),
		store_text(ended_by), store_text(actor), store_text(reason));

	*retired = (struct store_retired){0};
	if (!err && store_count(rows))
		*retired = (struct store_retired){
			store_get_int(rows, 0, 0), store_get_text(rows, 0, 1)};
	return err;
}

/* --- history ---------------------------------------------------------------------------------- */

enum err store_token_before(
	struct work *w, struct store_db *db, int64_t connection_id, struct store_before *before)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_TOKEN_BEFORE, &rows, store_int(connection_id));

	*before = (struct store_before){0};
	if (err || !store_count(rows))
		return err;
	*before = (struct store_before){
		.generation = store_get_int(rows, 0, 0),
		.app_id = store_get_int(rows, 0, 3),
		.datacenter = store_get_text(rows, 0, 4),
		.api_domain = store_get_text(rows, 0, 5),
		.scope = store_get_text(rows, 0, 6),
		.kept_json = store_get_text(rows, 0, 7),
		.ended_by = store_get_text(rows, 0, 8),
		.is_spent = store_get_bool(rows, 0, 9),
		.lives_s = store_is_null(rows, 0, 10) ? -1 : store_get_int(rows, 0, 10),
		.is_passive = store_get_bool(rows, 0, 11),
	};
	before->access.bytes = store_get_bytes(w, rows, 0, 1, &before->access.n);
	before->refresh.bytes = store_get_bytes(w, rows, 0, 2, &before->refresh.n);
	return ERR_OK;
}

enum err store_token_take_back(
	struct work *w, struct store_db *db, int64_t connection_id, int64_t generation, int64_t as)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_TOKEN_TAKE_BACK, &rows, store_int(connection_id),
		store_int(generation), store_int(as));

	return err || store_count(rows) ? err : ERR_CONFLICT;
}

enum err store_token_grants(
	struct work *w, struct store_db *db, int64_t connection_id, int64_t generation, int64_t *n)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(
		w, db, STMT_TOKEN_GRANTS, &rows, store_int(connection_id), store_int(generation));

	*n = err ? 0 : store_get_int(rows, 0, 0);
	return err;
}

enum err store_token_spend(struct work *w, struct store_db *db, int64_t connection_id,
	int64_t generation, int is_spent, int *changed)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_TOKEN_SPEND, &rows, store_int(connection_id),
		store_int(generation), store_bool(is_spent));

	*changed = !err && store_count(rows) == 1;
	return err;
}

enum err store_token_spent(
	struct work *w, struct store_db *db, int64_t connection_id, const char *fingerprint)
{
	return store_run(
		w, db, STMT_TOKEN_SPENT, NULL, store_int(connection_id), store_text(fingerprint));
}

enum err store_token_prune(
	struct work *w, struct store_db *db, int64_t days, int64_t most, int64_t *n)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_TOKEN_PRUNE, &rows, store_int(days), store_int(most));

	*n = err ? 0 : store_get_int(rows, 0, 0);
	return err;
}

enum err store_token_announce(struct work *w, struct store_db *db, const char *client,
	const char *provider, int64_t generation)
{
	return store_run(w, db, STMT_TOKEN_ANNOUNCE, NULL, store_text(client), store_text(provider),
		store_int_or_null(generation, generation == 0));
}

static void fill_current(
	struct work *w, const struct store_rows *rows, int row, struct store_current *current)
{
	*current = (struct store_current){
		.connection_id = store_get_int(rows, row, 0),
		.client = store_get_text(rows, row, 1),
		.client_name = store_get_text(rows, row, 2),
		.provider = store_get_text(rows, row, 3),
		.datacenter = store_get_text(rows, row, 4),
		.api_domain = store_get_text(rows, row, 5),
		.scope = store_get_text(rows, row, 6),
		.kept_json = store_get_text(rows, row, 7),
		.app_id = store_get_int(rows, row, 8),
		.state = store_get_text(rows, row, 9),
		.cause = store_get_text(rows, row, 10),
		.has_incident = store_get_bool(rows, row, 11),
		.generation = store_get_int(rows, row, 12),
		.token_type = store_get_text(rows, row, 15),
		.issued_at = store_get_text(rows, row, 16),
		.expires_at = store_get_text(rows, row, 17),
		.granted_at = store_get_text(rows, row, 18),
		.grant_ends_at = store_get_text(rows, row, 19),
		.idle_ends_at = store_get_text(rows, row, 20),
		.account = store_get_text(rows, row, 21),
	};
	current->access.bytes = store_get_bytes(w, rows, row, 13, &current->access.n);
	current->refresh.bytes = store_get_bytes(w, rows, row, 14, &current->refresh.n);
}

enum err store_token_current_many(struct work *w, struct store_db *db, const int64_t *ids, size_t n,
	struct store_current *currents, size_t *count)
{
	struct store_rows *rows = NULL;
	enum err err =
		store_run(w, db, STMT_TOKEN_CURRENT, &rows, store_text(store_id_array(w, ids, n)));

	*count = 0;
	if (err)
		return err;
	if ((size_t)store_count(rows) > n)
		return work_cause(w, ERR_BUG, "more connections than were asked for");
	*count = (size_t)store_count(rows);
	for (int row = 0; row < store_count(rows); row++)
		fill_current(w, rows, row, &currents[row]);
	return ERR_OK;
}

enum err store_token_current(
	struct work *w, struct store_db *db, int64_t connection_id, struct store_current *current)
{
	size_t count = 0;
	enum err err = store_token_current_many(w, db, &connection_id, 1, current, &count);

	return err || count ? err : ERR_CONNECTION_UNKNOWN;
}

enum err store_token_read(struct work *w, struct store_db *db, const struct store_read *read,
	struct store_served *served)
{
	const struct origin *origin = &w->origin;
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_TOKEN_READ, &rows, store_text(read->client),
		store_text(read->provider), store_text(read->known), store_int(read->min_ttl_s),
		store_bool(read->strict), store_text("vestal-fcgi " VESTAL_VERSION),
		store_text(origin->request_id), store_text(origin->actor),
		store_text(origin->actor_auth), store_text(origin->address),
		store_text(origin->user_agent), store_text(read->host),
		store_bool(read->may_renew_first), store_text(read->key_id),
		read->key_id ? store_bytes(read->key_hash, STORE_API_KEY_HASH_BYTES)
			     : store_null());

	if (err)
		return err;
	if (store_count(rows) == 0)
		return ERR_CONNECTION_UNKNOWN;
	*served = (struct store_served){
		.connection_id = store_get_int(rows, 0, 0),
		.generation = store_get_int(rows, 0, 1),
		.token_type = store_get_text(rows, 0, 3),
		.expires_at = store_get_text(rows, 0, 4),
		.seconds_left = store_is_null(rows, 0, 5) ? -1 : store_get_int(rows, 0, 5),
		.api_domain = store_get_text(rows, 0, 6),
		.datacenter = store_get_text(rows, 0, 7),
		.degraded = store_get_bool(rows, 0, 8),
		.served = store_get_bool(rows, 0, 9),
		.needs_renewal = store_get_bool(rows, 0, 10),
	};
	served->access.bytes = store_get_bytes(w, rows, 0, 2, &served->access.n);
	return ERR_OK;
}

enum err store_token_quarantine(
	struct work *w, struct store_db *db, int64_t connection_id, int64_t generation, int *marked)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_TOKEN_QUARANTINE, &rows, store_int(connection_id),
		store_int(generation));

	if (!err)
		*marked = store_count(rows) == 1;
	return err;
}

enum err store_token_show(struct work *w, struct store_db *db, const char *client,
	const char *provider, struct store_shown *shown)
{
	struct store_rows *rows = NULL;
	enum err err =
		store_run(w, db, STMT_TOKEN_SHOW, &rows, store_text(client), store_text(provider));

	if (err)
		return err;
	if (store_count(rows) == 0)
		return ERR_CONNECTION_UNKNOWN;
	*shown = (struct store_shown){
		.connection_id = store_get_text(rows, 0, 0),
		.last_generation = store_get_text(rows, 0, 1),
		.generation = store_get_text(rows, 0, 2),
		.access_fingerprint = store_get_text(rows, 0, 3),
		.refresh_fingerprint = store_get_text(rows, 0, 4),
		.token_type = store_get_text(rows, 0, 5),
		.issued_at = store_get_text(rows, 0, 6),
		.expires_at = store_get_text(rows, 0, 7),
		.granted_at = store_get_text(rows, 0, 8),
		.grant_ends_at = store_get_text(rows, 0, 9),
		.idle_ends_at = store_get_text(rows, 0, 10),
		.status = store_get_text(rows, 0, 11),
		.cause = store_get_text(rows, 0, 12),
		.action = store_get_text(rows, 0, 13),
		.owner = store_get_text(rows, 0, 14),
		.datacenter = store_get_text(rows, 0, 15),
		.passive = store_get_bool(rows, 0, 16),
		.failures = store_get_text(rows, 0, 17),
		.last_error_code = store_get_text(rows, 0, 18),
		.last_error_at = store_get_text(rows, 0, 19),
		.last_refreshed_at = store_get_text(rows, 0, 20),
		.last_proved_at = store_get_text(rows, 0, 21),
		.next_refresh_at = store_get_text(rows, 0, 22),
		.tried_at = store_get_text(rows, 0, 23),
		.deferred_by = store_get_text(rows, 0, 24),
		.lease_owner = store_get_text(rows, 0, 25),
		.lease_until = store_get_text(rows, 0, 26),
		.copy_generation = store_get_text(rows, 0, 27),
		.environment_generation = store_get_text(rows, 0, 28),
		.account_fingerprint = store_get_text(rows, 0, 29),
	};
	return ERR_OK;
}
