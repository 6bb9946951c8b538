/*
 * The primitives. The only door to OpenSSL's algorithms: what is sealed, derived or compared
 * elsewhere goes through here, and a failure of the library, of its random numbers above all, is an
 * error and never a weak value.
 */
#ifndef VESTAL_VAULT_CRYPTO_H
#define VESTAL_VAULT_CRYPTO_H

#include "base/err.h"

#include <stddef.h>

#define VAULT_HASH_BYTES 32
#define VAULT_KEY_BYTES 32
#define VAULT_NONCE_BYTES 12
#define VAULT_TAG_BYTES 16
#define VAULT_SIGNATURE_BYTES 64

/* n random bytes for what has to stay secret: keys, states, API keys. Returns: ERR_BUG, and out is
 * zeroed. */
enum err vault_crypto_random(void *out, size_t n) MUST_CHECK;

/*
 * n random bytes for what everybody may see: salts, nonces, identifiers. They come from another
 * generator, so that they tell nothing of the secret ones. Returns: ERR_BUG, and out is zeroed.
 */
enum err vault_crypto_random_public(void *out, size_t n) MUST_CHECK;

/* SHA-256. Returns: ERR_BUG. Source: FIPS 180-4. */
enum err vault_crypto_sha256(
	const void *bytes, size_t n, unsigned char out[VAULT_HASH_BYTES]) MUST_CHECK;

/* HMAC-SHA256. Returns: ERR_BUG. Source: RFC 2104. */
enum err vault_crypto_hmac_sha256(const void *key, size_t key_n, const void *bytes, size_t n,
	unsigned char out[VAULT_HASH_BYTES]) MUST_CHECK;

/* HKDF-SHA256, extract and expand; salt and info may be empty. Returns: ERR_BUG. Source: RFC 5869.
 */
enum err vault_crypto_hkdf_sha256(const void *key, size_t key_n, const void *salt, size_t salt_n,
	const void *info, size_t info_n, void *out, size_t n) MUST_CHECK;

/*
 * AES-256-GCM. cipher takes n bytes and may not overlap plain. A nonce is used once with a key.
 * Returns: ERR_TOO_LARGE (2 GiB), ERR_BUG. Source: NIST SP 800-38D.
 */
enum err vault_crypto_gcm_seal(const unsigned char key[VAULT_KEY_BYTES],
	const unsigned char nonce[VAULT_NONCE_BYTES], const void *aad, size_t aad_n,
	const void *plain, size_t n, unsigned char *cipher,
	unsigned char tag[VAULT_TAG_BYTES]) MUST_CHECK;

/*
 * The way back. plain takes n bytes; unless the tag fits it is zeroed before this returns.
 * Returns: ERR_SEALED, ERR_TOO_LARGE, ERR_BUG.
 */
enum err vault_crypto_gcm_open(const unsigned char key[VAULT_KEY_BYTES],
	const unsigned char nonce[VAULT_NONCE_BYTES], const void *aad, size_t aad_n,
	const void *cipher, size_t n, const unsigned char tag[VAULT_TAG_BYTES],
	unsigned char *plain) MUST_CHECK;

/*
 * SHA-256 of what comes in parts. end gives the hash and begins anew.
 * Returns: ERR_BUG. Owns: the caller (vault_crypto_hash_free; NULL is fine).
 */
struct vault_hash;
enum err vault_crypto_hash_new(struct vault_hash **hash) MUST_CHECK;
enum err vault_crypto_hash_add(struct vault_hash *hash, const void *bytes, size_t n) MUST_CHECK;
enum err vault_crypto_hash_end(
	struct vault_hash *hash, unsigned char out[VAULT_HASH_BYTES]) MUST_CHECK;
void vault_crypto_hash_free(struct vault_hash *hash);

/* Ed25519: the public key of a seed, and a signature of n bytes. Returns: ERR_BUG. Source: RFC 8032
 * section 5.1. */
enum err vault_crypto_ed25519_public(const unsigned char seed[VAULT_KEY_BYTES],
	unsigned char public_key[VAULT_KEY_BYTES]) MUST_CHECK;
enum err vault_crypto_ed25519_sign(const unsigned char seed[VAULT_KEY_BYTES], const void *bytes,
	size_t n, unsigned char signature[VAULT_SIGNATURE_BYTES]) MUST_CHECK;

/* Whether a signature is that key's, of these bytes. */
int vault_crypto_ed25519_fits(const unsigned char public_key[VAULT_KEY_BYTES], const void *bytes,
	size_t n, const unsigned char signature[VAULT_SIGNATURE_BYTES]);

/* Whether two times n bytes are the same; takes the same time whatever they are. */
int vault_crypto_equal(const void *a, const void *b, size_t n);

#endif
