/* The sealed format. It decides what is bound to what; it knows neither rows nor files. */
#include "vault/seal.h"

#include "base/buf.h"
#include "vault/crypto.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define MAGIC "VSTL"
#define FORMAT_VERSION 1
#define SUITE 1
#define SCHEMA_VERSION 1
#define INFO "vestal/seal/v1"
#define SALT_BYTES 32
#define COMMITMENT_BYTES 32
#define AAD_MAX_BYTES ((size_t)4096)

enum {
	AT_VERSION = 4,
	AT_SUITE = 5,
	AT_KEY_ID = 6,
	AT_SALT = 10,
	AT_NONCE = AT_SALT + SALT_BYTES,
	AT_COMMITMENT = AT_NONCE + VAULT_NONCE_BYTES,
	HEADER_BYTES = AT_COMMITMENT + COMMITMENT_BYTES
};

_Static_assert(HEADER_BYTES + VAULT_TAG_BYTES == VAULT_SEAL_OVERHEAD_BYTES,
	"the format's overhead is documented");

/* What HKDF gives for one blob. */
struct derived {
	unsigned char key[VAULT_KEY_BYTES];
	unsigned char commitment[COMMITMENT_BYTES];
};

_Static_assert(sizeof(struct derived) == VAULT_KEY_BYTES + COMMITMENT_BYTES, "derived in one go");

static enum err derive(const struct vault_key *key, enum vault_ring ring, const unsigned char *salt,
	struct derived *out)
{
	char info[64];

	snprintf(info, sizeof(info), INFO "%s", vault_ring_name(ring));
	return vault_crypto_hkdf_sha256(secret_reveal(key->key), secret_len(key->key), salt,
		SALT_BYTES, info, strlen(info), out, sizeof(*out));
}

static void put_u32(unsigned char *out, uint32_t number)
{
	for (int i = 0; i < 4; i++)
		out[i] = (unsigned char)(number >> (24 - 8 * i));
}

static void add_u32(struct buf *buf, uint32_t number)
{
	unsigned char bytes[4];

	put_u32(bytes, number);
	buf_add(buf, bytes, sizeof(bytes));
}

static void add_text(struct buf *buf, const char *text)
{
	add_u32(buf, (uint32_t)strlen(text));
	buf_text(buf, text);
}

/* The header, then every part of the binding with its length, so that no two bindings give the same
 * bytes. */
static enum err associated(
	struct work *w, const unsigned char *header, const struct vault_binding *b, struct buf *aad)
{
	uint64_t generation = (uint64_t)b->generation;

	if (!b->purpose || !b->client || !b->provider || !b->column)
		return work_cause(w, ERR_BUG, "incomplete binding");
	buf_init(aad, w, AAD_MAX_BYTES);
	buf_add(aad, header, HEADER_BYTES);
	add_text(aad, b->purpose);
	add_text(aad, b->client);
	add_text(aad, b->provider);
	add_text(aad, b->column);
	add_u32(aad, (uint32_t)(generation >> 32));
	add_u32(aad, (uint32_t)generation);
	add_u32(aad, SCHEMA_VERSION);
	return aad->overflow ? work_cause(w, ERR_BUG, "binding too long") : ERR_OK;
}

static enum err write_header(unsigned char *header, uint32_t key_id)
{
	memcpy(header, MAGIC, AT_VERSION);
	header[AT_VERSION] = FORMAT_VERSION;
	header[AT_SUITE] = SUITE;
	put_u32(header + AT_KEY_ID, key_id);
	return vault_crypto_random_public(header + AT_SALT, SALT_BYTES + VAULT_NONCE_BYTES);
}

static enum err seal_with(struct work *w, const struct derived *derived,
	const struct vault_binding *b, const struct secret *plain, unsigned char *blob)
{
	size_t n = secret_len(plain);
	struct buf aad;
	enum err err;

	memcpy(blob + AT_COMMITMENT, derived->commitment, COMMITMENT_BYTES);
	err = associated(w, blob, b, &aad);
	if (err)
		return err;
	return vault_crypto_gcm_seal(derived->key, blob + AT_NONCE, aad.data, aad.len,
		secret_reveal(plain), n, blob + HEADER_BYTES, blob + HEADER_BYTES + n);
}

enum err vault_seal_close(struct work *w, const struct vault_keyring *k, enum vault_ring ring,
	const struct vault_binding *b, const struct secret *plain, struct vault_blob *out)
{
	const struct vault_key *key = vault_keyring_primary(k, ring);
	size_t n = secret_len(plain) + VAULT_SEAL_OVERHEAD_BYTES;
	struct derived derived;
	unsigned char *blob;
	enum err err;

	*out = (struct vault_blob){0};
	if (!key)
		return work_cause(w, ERR_KEY_UNKNOWN, "ring %s not loaded", vault_ring_name(ring));
	if (secret_len(plain) > VAULT_SEAL_PLAIN_MAX_BYTES)
		return ERR_TOO_LARGE;
	blob = work_alloc(w, n);
	err = write_header(blob, key->id);
	if (err)
		return work_cause(w, err, "random");
	err = derive(key, ring, blob + AT_SALT, &derived);
	if (!err)
		err = seal_with(w, &derived, b, plain, blob);
	OPENSSL_cleanse(&derived, sizeof(derived));
	if (!err)
		*out = (struct vault_blob){blob, n};
	return err;
}

static int is_blob(const struct vault_blob *blob)
{
	return blob->bytes && blob->n >= VAULT_SEAL_OVERHEAD_BYTES &&
	       blob->n <= VAULT_SEAL_OVERHEAD_BYTES + VAULT_SEAL_PLAIN_MAX_BYTES &&
	       memcmp(blob->bytes, MAGIC, AT_VERSION) == 0 &&
	       blob->bytes[AT_VERSION] == FORMAT_VERSION && blob->bytes[AT_SUITE] == SUITE;
}

uint32_t vault_seal_key_id(const struct vault_blob *blob)
{
	const unsigned char *id;

	if (!is_blob(blob))
		return 0;
	id = blob->bytes + AT_KEY_ID;
	return (uint32_t)id[0] << 24 | (uint32_t)id[1] << 16 | (uint32_t)id[2] << 8 | id[3];
}

static enum err open_with(struct work *w, const struct derived *derived,
	const struct vault_binding *b, const struct vault_blob *blob, struct secret **plain)
{
	size_t n = blob->n - VAULT_SEAL_OVERHEAD_BYTES;
	const unsigned char *bytes = blob->bytes;
	struct secret *opened;
	struct buf aad;
	enum err err;

	if (!vault_crypto_equal(derived->commitment, bytes + AT_COMMITMENT, COMMITMENT_BYTES))
		return work_cause(w, ERR_SEALED, "commitment");
	err = associated(w, bytes, b, &aad);
	if (err)
		return err;
	opened = secret_new(w, NULL, n);
	if (!opened)
		return ERR_NO_MEMORY;
	err = vault_crypto_gcm_open(derived->key, bytes + AT_NONCE, aad.data, aad.len,
		bytes + HEADER_BYTES, n, bytes + HEADER_BYTES + n, secret_fill(opened));
	if (err)
		return work_cause(w, err, "tag");
	*plain = opened;
	return ERR_OK;
}

enum err vault_seal_open(struct work *w, const struct vault_keyring *k, enum vault_ring ring,
	const struct vault_binding *b, const struct vault_blob *blob, struct secret **plain)
{
	const struct vault_key *key;
	struct derived derived;
	enum err err;

	*plain = NULL;
	if (!is_blob(blob))
		return work_cause(w, ERR_SEALED, "not a blob");
	key = vault_keyring_find(k, ring, vault_seal_key_id(blob));
	if (!key)
		return work_cause(w, ERR_KEY_UNKNOWN, "%s key %08" PRIx32, vault_ring_name(ring),
			vault_seal_key_id(blob));
	err = derive(key, ring, blob->bytes + AT_SALT, &derived);
	if (!err)
		err = open_with(w, &derived, b, blob, plain);
	OPENSSL_cleanse(&derived, sizeof(derived));
	return err;
}
