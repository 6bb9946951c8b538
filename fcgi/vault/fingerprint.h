/*
 * Keyed fingerprints of secrets: they tell in the audit trail which token was meant without telling
 * the token, and cannot be tried out without the key.
 */
#ifndef VESTAL_VAULT_FINGERPRINT_H
#define VESTAL_VAULT_FINGERPRINT_H

#include "vault/keyring.h"

#define VAULT_FINGERPRINT_DIGITS 40

/*
 * 40 hex digits: the id of the token ring's primary key (8), the first 16 bytes of the secret's
 * HMAC-SHA256 under a key derived from it. Returns NULL when the ring was not loaded or the library
 * failed. Owns: the work.
 */
const char *vault_fingerprint(
	struct work *w, const struct vault_keyring *k, const struct secret *s);

/* Whether the key a fingerprint was made under is still enabled, so that it can be compared. */
int vault_fingerprint_is_known(const struct vault_keyring *k, const char *fingerprint);

/* Whether a fingerprint, made under any key that is still enabled, is that secret's. */
int vault_fingerprint_matches(
	const struct vault_keyring *k, const char *fingerprint, const struct secret *s);

#endif
