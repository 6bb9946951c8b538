/*
 * Secrets at rest. A sealed blob opens only under the key that made it and for the very place it
 * was made for: client, provider, column and generation are part of what is authenticated, and are
 * given again by whoever opens it.
 *
 * Format 1, never changed once released:
 *   "VSTL" | version 1 | suite 1 | key id (4) | salt (32) | nonce (12) | commitment (32) |
 * ciphertext | tag (16) Suite 1: HKDF-SHA256 of the ring's key with the salt gives an AES-256-GCM
 * key of the blob's own and a commitment, by which a blob cannot be made to open under two keys.
 */
#ifndef VESTAL_VAULT_SEAL_H
#define VESTAL_VAULT_SEAL_H

#include "vault/keyring.h"

#define VAULT_SEAL_PLAIN_MAX_BYTES ((size_t)64 * 1024)
#define VAULT_SEAL_OVERHEAD_BYTES ((size_t)102)

/* What a blob is bound to. No text may be NULL; one that does not apply is "". */
struct vault_binding {
	const char *purpose;
	const char *client;
	const char *provider;
	const char *column;
	int64_t generation;
};

struct vault_blob {
	unsigned char *bytes;
	size_t n;
};

/*
 * Seals a secret, which may be empty, under the ring's primary key.
 * Returns: ERR_TOO_LARGE, ERR_KEY_UNKNOWN (the ring was not loaded), ERR_BUG (no random numbers).
 * Owns: bytes live in w.
 */
enum err vault_seal_close(struct work *w, const struct vault_keyring *k, enum vault_ring ring,
	const struct vault_binding *b, const struct secret *plain,
	struct vault_blob *out) MUST_CHECK;

/*
 * Opens a blob. Returns: ERR_KEY_UNKNOWN (the key is not there or is disabled, also after the rings
 * were looked at again), ERR_SEALED (whatever else is wrong with it), ERR_NO_MEMORY; *plain is NULL
 * then. Owns: the work.
 */
enum err vault_seal_open(struct work *w, const struct vault_keyring *k, enum vault_ring ring,
	const struct vault_binding *b, const struct vault_blob *blob,
	struct secret **plain) MUST_CHECK;

/* The id of the key that a blob says it was sealed with; 0 when it is no blob. */
uint32_t vault_seal_key_id(const struct vault_blob *blob);

#endif
