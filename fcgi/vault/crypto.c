/* OpenSSL's algorithms, fetched once. It decides how the library is called; it knows nothing of
 * keys, rings or blobs. */
#include "vault/crypto.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <string.h>

#define DIGEST "SHA256"

/* Looking an algorithm up by name costs more than using it. */
static EVP_MD *sha256;
static EVP_MAC *hmac;
static EVP_KDF *hkdf;
static EVP_CIPHER *gcm;

static int fetched(void)
{
	if (!sha256)
		sha256 = EVP_MD_fetch(NULL, DIGEST, NULL);
	if (!hmac)
		hmac = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_HMAC, NULL);
	if (!hkdf)
		hkdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_HKDF, NULL);
	if (!gcm)
		gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	return sha256 && hmac && hkdf && gcm;
}

static enum err random_from(int (*source)(unsigned char *out, int n), void *out, size_t n)
{
	if (n <= INT_MAX && source(out, (int)n) == 1)
		return ERR_OK;
	memset(out, 0, n);
	return ERR_BUG;
}

enum err vault_crypto_random(void *out, size_t n)
{
	return random_from(RAND_priv_bytes, out, n);
}

enum err vault_crypto_random_public(void *out, size_t n)
{
	return random_from(RAND_bytes, out, n);
}

enum err vault_crypto_sha256(const void *bytes, size_t n, unsigned char out[VAULT_HASH_BYTES])
{
	if (!fetched() || EVP_Digest(bytes, n, out, NULL, sha256, NULL) != 1)
		return ERR_BUG;
	return ERR_OK;
}

/* The parameter's type has no const, but what is handed to the library here it only reads. */
static OSSL_PARAM octets(const char *name, const void *bytes, size_t n)
{
	return OSSL_PARAM_construct_octet_string(name, (void *)(uintptr_t)bytes, n);
}

static OSSL_PARAM digest_param(const char *name)
{
	static char digest[] = DIGEST;

	return OSSL_PARAM_construct_utf8_string(name, digest, 0);
}

enum err vault_crypto_hmac_sha256(const void *key, size_t key_n, const void *bytes, size_t n,
	unsigned char out[VAULT_HASH_BYTES])
{
	OSSL_PARAM params[] = {digest_param(OSSL_MAC_PARAM_DIGEST), OSSL_PARAM_construct_end()};
	EVP_MAC_CTX *ctx = fetched() ? EVP_MAC_CTX_new(hmac) : NULL;
	size_t out_n = 0;
	int ok = ctx && EVP_MAC_init(ctx, key, key_n, params) == 1 &&
		 EVP_MAC_update(ctx, bytes, n) == 1 &&
		 EVP_MAC_final(ctx, out, &out_n, VAULT_HASH_BYTES) == 1 &&
		 out_n == VAULT_HASH_BYTES;

	EVP_MAC_CTX_free(ctx);
	return ok ? ERR_OK : ERR_BUG;
}

enum err vault_crypto_hkdf_sha256(const void *key, size_t key_n, const void *salt, size_t salt_n,
	const void *info, size_t info_n, void *out, size_t n)
{
	OSSL_PARAM params[5], *next = params;
	EVP_KDF_CTX *ctx = fetched() ? EVP_KDF_CTX_new(hkdf) : NULL;
	int ok;

	*next++ = digest_param(OSSL_KDF_PARAM_DIGEST);
	*next++ = octets(OSSL_KDF_PARAM_KEY, key, key_n);
	if (salt_n)
		*next++ = octets(OSSL_KDF_PARAM_SALT, salt, salt_n);
	if (info_n)
		*next++ = octets(OSSL_KDF_PARAM_INFO, info, info_n);
	*next = OSSL_PARAM_construct_end();
	ok = ctx && EVP_KDF_derive(ctx, out, n, params) == 1;
	EVP_KDF_CTX_free(ctx);
	if (ok)
		return ERR_OK;
	OPENSSL_cleanse(out, n);
	return ERR_BUG;
}

static int fits(size_t aad_n, size_t n)
{
	return aad_n <= INT_MAX && n <= INT_MAX;
}

enum err vault_crypto_gcm_seal(const unsigned char key[VAULT_KEY_BYTES],
	const unsigned char nonce[VAULT_NONCE_BYTES], const void *aad, size_t aad_n,
	const void *plain, size_t n, unsigned char *cipher, unsigned char tag[VAULT_TAG_BYTES])
{
	EVP_CIPHER_CTX *ctx;
	int part = 0, ok;

	if (!fits(aad_n, n))
		return ERR_TOO_LARGE;
	ctx = fetched() ? EVP_CIPHER_CTX_new() : NULL;
	ok = ctx && EVP_EncryptInit_ex2(ctx, gcm, key, nonce, NULL) == 1 &&
	     (!aad_n || EVP_EncryptUpdate(ctx, NULL, &part, aad, (int)aad_n) == 1) &&
	     (!n || EVP_EncryptUpdate(ctx, cipher, &part, plain, (int)n) == 1) &&
	     EVP_EncryptFinal_ex(ctx, tag, &part) == 1 &&
	     EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, VAULT_TAG_BYTES, tag) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return ok ? ERR_OK : ERR_BUG;
}

enum err vault_crypto_gcm_open(const unsigned char key[VAULT_KEY_BYTES],
	const unsigned char nonce[VAULT_NONCE_BYTES], const void *aad, size_t aad_n,
	const void *cipher, size_t n, const unsigned char tag[VAULT_TAG_BYTES],
	unsigned char *plain)
{
	unsigned char expected[VAULT_TAG_BYTES], none[1];
	EVP_CIPHER_CTX *ctx;
	int part = 0, ready, fit;

	if (!fits(aad_n, n))
		return ERR_TOO_LARGE;
	memcpy(expected, tag, sizeof(expected));
	ctx = fetched() ? EVP_CIPHER_CTX_new() : NULL;
	ready = ctx && EVP_DecryptInit_ex2(ctx, gcm, key, nonce, NULL) == 1 &&
		(!aad_n || EVP_DecryptUpdate(ctx, NULL, &part, aad, (int)aad_n) == 1) &&
		(!n || EVP_DecryptUpdate(ctx, plain, &part, cipher, (int)n) == 1) &&
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, VAULT_TAG_BYTES, expected) == 1;
	fit = ready && EVP_DecryptFinal_ex(ctx, none, &part) == 1;
	EVP_CIPHER_CTX_free(ctx);
	if (fit)
		return ERR_OK;
	OPENSSL_cleanse(plain, n);
	return ready ? ERR_SEALED : ERR_BUG;
}

static EVP_MD_CTX *context_of(struct vault_hash *hash)
{
	return (EVP_MD_CTX *)hash;
}

enum err vault_crypto_hash_new(struct vault_hash **hash)
{
	EVP_MD_CTX *ctx = fetched() ? EVP_MD_CTX_new() : NULL;
	int ok = ctx && EVP_DigestInit_ex2(ctx, sha256, NULL) == 1;

	*hash = (struct vault_hash *)ctx;
	return ok ? ERR_OK : ERR_BUG;
}

enum err vault_crypto_hash_add(struct vault_hash *hash, const void *bytes, size_t n)
{
	return EVP_DigestUpdate(context_of(hash), bytes, n) == 1 ? ERR_OK : ERR_BUG;
}

enum err vault_crypto_hash_end(struct vault_hash *hash, unsigned char out[VAULT_HASH_BYTES])
{
	EVP_MD_CTX *ctx = context_of(hash);

	return EVP_DigestFinal_ex(ctx, out, NULL) == 1 && EVP_DigestInit_ex2(ctx, sha256, NULL) == 1
		       ? ERR_OK
		       : ERR_BUG;
}

void vault_crypto_hash_free(struct vault_hash *hash)
{
	EVP_MD_CTX_free(context_of(hash));
}

enum err vault_crypto_ed25519_public(
	const unsigned char seed[VAULT_KEY_BYTES], unsigned char public_key[VAULT_KEY_BYTES])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, VAULT_KEY_BYTES);
	size_t n = VAULT_KEY_BYTES;
	int ok = key && EVP_PKEY_get_raw_public_key(key, public_key, &n) == 1 &&
		 n == VAULT_KEY_BYTES;

	EVP_PKEY_free(key);
	return ok ? ERR_OK : ERR_BUG;
}

enum err vault_crypto_ed25519_sign(const unsigned char seed[VAULT_KEY_BYTES], const void *bytes,
	size_t n, unsigned char signature[VAULT_SIGNATURE_BYTES])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, VAULT_KEY_BYTES);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t out_n = VAULT_SIGNATURE_BYTES;
	int ok = key && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
		 EVP_DigestSign(ctx, signature, &out_n, bytes, n) == 1 &&
		 out_n == VAULT_SIGNATURE_BYTES;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return ok ? ERR_OK : ERR_BUG;
}

int vault_crypto_ed25519_fits(const unsigned char public_key[VAULT_KEY_BYTES], const void *bytes,
	size_t n, const unsigned char signature[VAULT_SIGNATURE_BYTES])
{
	EVP_PKEY *key =
		EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, VAULT_KEY_BYTES);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int fits = key && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
		   EVP_DigestVerify(ctx, signature, VAULT_SIGNATURE_BYTES, bytes, n) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return fits;
}

int vault_crypto_equal(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}
