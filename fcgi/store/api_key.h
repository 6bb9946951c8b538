/* API keys: who may call. Only the hash of a secret is ever here. */
#ifndef VESTAL_STORE_API_KEY_H
#define VESTAL_STORE_API_KEY_H

#include "store/db.h"
#include "store/scope.h"

#define STORE_API_KEY_HASH_BYTES 32

struct store_api_key {
	const char *id, *name, *role;
	unsigned char hash[STORE_API_KEY_HASH_BYTES];
	struct store_scope scope;
	int used_today;
};

/* A key that is neither revoked nor expired and may be used from this address. Returns:
 * ERR_UNAUTHENTICATED. */
enum err store_api_key_get(struct work *w, struct store_db *db, const char *id, const char *address,
	struct store_api_key *key) MUST_CHECK;

/* Notes the day of its last use. */
enum err store_api_key_used(struct work *w, struct store_db *db, const char *id) MUST_CHECK;

/* Adds a key. addresses: CIDR texts; expires_at: a date or time; each may be NULL. Returns:
 * ERR_EXISTS, ERR_DB. */
enum err store_api_key_add(struct work *w, struct store_db *db, const struct store_api_key *key,
	const char *const *addresses, size_t address_count, const char *expires_at) MUST_CHECK;

/* Revokes a key, at once. Returns: ERR_NOT_FOUND for one that is not there or revoked already. */
enum err store_api_key_revoke(struct work *w, struct store_db *db, const char *id) MUST_CHECK;

/* A key without its hash, for people to look at. */
struct store_api_key_entry {
	const char *id, *name, *role;
	const char *clients_json, *providers_json, *addresses_json; /* arrays; NULL: all */
	const char *created_at, *expires_at, *revoked_at;           /* the last two may be NULL */
	const char *last_used_on;                                   /* a day, or NULL */
};

/* All keys, the oldest first. Owns: the work. */
enum err store_api_key_list(struct work *w, struct store_db *db, struct store_api_key_entry **keys,
	size_t *n) MUST_CHECK;

#endif
