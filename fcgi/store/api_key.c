/* API keys: struct and row. */
#include "store/api_key.h"

#include <string.h>

enum err store_api_key_get(struct work *w, struct store_db *db, const char *id, const char *address,
	struct store_api_key *key)
{
	struct store_rows *rows = NULL;
	const unsigned char *hash;
	size_t n = 0;
	enum err err =
		store_run(w, db, STMT_API_KEY_GET, &rows, store_text(id), store_text(address));

	if (err)
		return err;
	if (store_count(rows) == 0)
		return ERR_UNAUTHENTICATED;
	*key = (struct store_api_key){.id = id,
		.name = store_get_text(rows, 0, 0),
		.role = store_get_text(rows, 0, 1),
		.used_today = store_get_bool(rows, 0, 5)};
	hash = store_get_bytes(w, rows, 0, 2, &n);
	if (!hash || n != sizeof(key->hash))
		return work_cause(w, ERR_DB, "a key's hash has a wrong length");
	memcpy(key->hash, hash, n);
	err = store_scope_words(
		w, store_get_text(rows, 0, 3), &key->scope.clients, &key->scope.client_count);
	if (!err)
		err = store_scope_words(w, store_get_text(rows, 0, 4), &key->scope.providers,
			&key->scope.provider_count);
	return err;
}

enum err store_api_key_used(struct work *w, struct store_db *db, const char *id)
{
	return store_run(w, db, STMT_API_KEY_USED, NULL, store_text(id));
}

enum err store_api_key_add(struct work *w, struct store_db *db, const struct store_api_key *key,
	const char *const *addresses, size_t address_count, const char *expires_at)
{
	return store_run(w, db, STMT_API_KEY_ADD, NULL, store_text(key->id), store_text(key->name),
		store_text(key->role), store_bytes(key->hash, sizeof(key->hash)),
		store_text(store_scope_array(w, key->scope.clients, key->scope.client_count)),
		store_text(store_scope_array(w, key->scope.providers, key->scope.provider_count)),
		store_text(store_scope_array(w, addresses, address_count)), store_text(expires_at));
}

enum err store_api_key_revoke(struct work *w, struct store_db *db, const char *id)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_API_KEY_REVOKE, &rows, store_text(id));

	return err ? err : store_count(rows) ? ERR_OK : ERR_NOT_FOUND;
}

enum err store_api_key_list(
	struct work *w, struct store_db *db, struct store_api_key_entry **keys, size_t *n)
{
	struct store_rows *rows = NULL;
	enum err err = store_run_plain(w, db, STMT_API_KEY_LIST, &rows);

	if (err)
		return err;
	*n = (size_t)store_count(rows);
	*keys = work_alloc(w, (*n + 1) * sizeof(**keys));
	for (int i = 0; i < store_count(rows); i++)
		(*keys)[i] = (struct store_api_key_entry){.id = store_get_text(rows, i, 0),
			.name = store_get_text(rows, i, 1),
			.role = store_get_text(rows, i, 2),
			.clients_json = store_get_text(rows, i, 3),
			.providers_json = store_get_text(rows, i, 4),
			.addresses_json = store_get_text(rows, i, 5),
			.created_at = store_get_text(rows, i, 6),
			.expires_at = store_get_text(rows, i, 7),
			.revoked_at = store_get_text(rows, i, 8),
			.last_used_on = store_get_text(rows, i, 9)};
	return ERR_OK;
}
