/* Tokens between the secure heap and their columns: sealed for one place, and opened there again.
 */
#ifndef VESTAL_CUSTODY_TOKEN_H
#define VESTAL_CUSTODY_TOKEN_H

#include "custody/custody.h"
#include "store/token.h"

/* The place a token is sealed for; it opens nowhere else. */
struct custody_token_place {
	const char *client, *provider;
	const char *column; /* "access" or "refresh" */
	int64_t generation;
};

/*
 * Seals a token, and makes the fingerprint by which the audit trail knows it.
 * Returns: ERR_KEY_UNKNOWN, ERR_TOO_LARGE, ERR_BUG. Owns: the work.
 */
enum err custody_token_seal(struct work *w, const struct custody *c,
	const struct custody_token_place *place, const struct secret *token,
	struct store_sealed *sealed, const char **fingerprint) MUST_CHECK;

/*
 * Opens a token; *token is NULL where the column is. Returns: ERR_SEALED, ERR_KEY_UNKNOWN,
 * ERR_NO_MEMORY. Owns: the work.
 */
enum err custody_token_open(struct work *w, const struct custody *c,
	const struct custody_token_place *place, const struct store_sealed *sealed,
	struct secret **token) MUST_CHECK;

#endif
