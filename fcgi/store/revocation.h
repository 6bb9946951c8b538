/* Tokens of the past that are to end at their provider too. */
#ifndef VESTAL_STORE_REVOCATION_H
#define VESTAL_STORE_REVOCATION_H

#include "store/renewal.h"
#include "store/token.h"

/* One whose turn it is. */
struct store_revocation {
	int64_t connection_id, generation;
	int64_t app_id; /* by which it was granted */
	const char *client, *provider, *datacenter, *api_domain;
	struct store_sealed access, refresh;
	const char *fingerprint; /* of the access token */
	int is_last;             /* there will be no other try */
};

/*
 * The token that was just removed (newest; its generation 0: there was none) and what may still
 * live of the connection's earlier grants is to be revoked, from now on. rotates: the provider
 * replaces refresh tokens, so that a spent one is dead. *newest: the newest of them; as it was,
 * when there is nothing. Under store_connection_lock().
 */
enum err store_revocation_begin(struct work *w, struct store_db *db, int64_t connection_id,
	int rotates, struct store_retired *newest) MUST_CHECK;

/* Whether that was done with this one. */
enum err store_revocation_begun(struct work *w, struct store_db *db, int64_t connection_id,
	int64_t generation, int *begun) MUST_CHECK;

/*
 * Takes up one of this connection whose turn has come; for a moment nobody else does. Returns:
 * ERR_NOT_FOUND. Owns: the work.
 */
enum err store_revocation_claim(struct work *w, struct store_db *db, int64_t connection_id,
	struct store_revocation *revocation) MUST_CHECK;

/*
 * The same for any, but at none of these places: "provider datacenter" each. A provider whose gate
 * is shut is left alone.
 */
enum err store_revocation_claim_any(struct work *w, struct store_db *db, const char *const *places,
	size_t n, struct store_revocation *revocation) MUST_CHECK;

/* The provider asked for patience. */
enum err store_revocation_defer(struct work *w, struct store_db *db,
	const struct store_revocation *revocation, int64_t wait_s) MUST_CHECK;

/* Writes the last word: "accepted", "gone" or "unconfirmed". *tries 0: another one came first. */
enum err store_revocation_settle(struct work *w, struct store_db *db,
	const struct store_revocation *revocation, const char *word, int64_t *tries) MUST_CHECK;

/*
 * What a renewal brought for a token that was removed meanwhile is to be revoked too, when it
 * brought another refresh token and the connection has none since.
 */
enum err store_revocation_stray(
	struct work *w, struct store_db *db, const struct store_renewed *renewed) MUST_CHECK;

#endif
