/* Signed notes. It decides how a note is signed and which signature is believed; what the lines say
 * is its callers' business. */
#include "vault/note.h"

#include "base/text.h"
#include "vault/crypto.h"

#include <openssl/crypto.h>
#include <string.h>

#define SIGN_INFO "vestal/audit-sign/v1"
#define DASH "\xe2\x80\x94 " /* an em dash and a space */
#define KEY_HASH_BYTES 4
#define ED25519_NOTE 0x01
#define PEM_BEGIN "-----BEGIN PUBLIC KEY-----\n"
#define PEM_END "\n-----END PUBLIC KEY-----\n"
#define PEM_KEY_CHARS 60

/* Of every Ed25519 public key, before its 32 bytes. Source: RFC 8410 section 4. */
static const unsigned char spki[] = {
	0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

static enum err seed_of(const struct vault_key *key, unsigned char seed[VAULT_KEY_BYTES])
{
	return vault_crypto_hkdf_sha256(secret_reveal(key->key), VAULT_KEY_BYTES, NULL, 0,
		SIGN_INFO, strlen(SIGN_INFO), seed, VAULT_KEY_BYTES);
}

/* Source: C2SP signed-note, "Signatures": the hash of name, newline, type and key. */
static enum err key_hash(struct work *w, const char *name, size_t name_n,
	const unsigned char *public_key, unsigned char hash[VAULT_HASH_BYTES])
{
	struct buf text;

	buf_init(&text, w, name_n + 2 + VAULT_KEY_BYTES);
	buf_add(&text, name, name_n);
	buf_char(&text, '\n');
	buf_char(&text, ED25519_NOTE);
	buf_add(&text, public_key, VAULT_KEY_BYTES);
	return vault_crypto_sha256(text.data, text.len, hash);
}

static enum err sign(struct work *w, const struct vault_key *key, const char *name,
	const char *text, unsigned char out[KEY_HASH_BYTES + VAULT_SIGNATURE_BYTES])
{
	unsigned char seed[VAULT_KEY_BYTES], public_key[VAULT_KEY_BYTES], hash[VAULT_HASH_BYTES];
	enum err err = seed_of(key, seed);

	if (!err)
		err = vault_crypto_ed25519_public(seed, public_key);
	if (!err)
		err = key_hash(w, name, strlen(name), public_key, hash);
	if (!err)
		err = vault_crypto_ed25519_sign(seed, text, strlen(text), out + KEY_HASH_BYTES);
	if (!err)
		memcpy(out, hash, KEY_HASH_BYTES);
	OPENSSL_cleanse(seed, sizeof(seed));
	return err;
}

enum err vault_note_sign(struct work *w, const struct vault_keyring *keyring, const char *name,
	const char *text, struct buf *note)
{
	const struct vault_key *key = vault_keyring_primary(keyring, VAULT_RING_AUDIT);
	unsigned char bytes[KEY_HASH_BYTES + VAULT_SIGNATURE_BYTES];
	enum err err = key ? sign(w, key, name, text, bytes) : ERR_KEY_UNKNOWN;

	if (err)
		return err;
	buf_text(note, text);
	buf_printf(note, "\n" DASH "%s %s\n", name, text_base64(w, bytes, sizeof(bytes)));
	return note->overflow ? ERR_BUG : ERR_OK;
}

int vault_note_take(const char *bytes, size_t n, struct vault_note *note)
{
	static const char before[] = "\n\n" DASH;
	const char *mark = memmem(bytes, n, before, strlen(before));
	const char *name, *space, *end;

	if (!mark)
		return 0;
	name = mark + strlen(before);
	end = memchr(name, '\n', n - (size_t)(name - bytes));
	space = end ? memchr(name, ' ', (size_t)(end - name)) : NULL;
	if (!space)
		return 0;
	*note = (struct vault_note){.text = bytes,
		.text_n = (size_t)(mark - bytes) + 1,
		.whole = bytes,
		.whole_n = (size_t)(end - bytes) + 1,
		.name = name,
		.name_n = (size_t)(space - name),
		.signature = space + 1,
		.signature_n = (size_t)(end - space) - 1};
	return 1;
}

int vault_note_fits(
	struct work *w, const struct vault_note *note, const struct vault_publics *publics)
{
	size_t n = 0;
	const unsigned char *said = text_unbase64(w, note->signature, note->signature_n, &n);
	unsigned char hash[VAULT_HASH_BYTES];

	if (!said || n != KEY_HASH_BYTES + VAULT_SIGNATURE_BYTES)
		return 0;
	for (size_t i = 0; i < publics->n; i++)
		if (!key_hash(w, note->name, note->name_n, publics->keys[i], hash) &&
			memcmp(hash, said, KEY_HASH_BYTES) == 0 &&
			vault_crypto_ed25519_fits(
				publics->keys[i], note->text, note->text_n, said + KEY_HASH_BYTES))
			return 1;
	return 0;
}

/* --- public keys ----------------------------------------------------------------------------- */

/* Returns 1 when it was not there yet. */
static int add_public(struct vault_publics *publics, const unsigned char *key)
{
	for (size_t i = 0; i < publics->n; i++)
		if (memcmp(publics->keys[i], key, VAULT_KEY_BYTES) == 0)
			return 0;
	if (publics->n == VAULT_RING_KEYS_MAX)
		return 0;
	memcpy(publics->keys[publics->n++], key, VAULT_KEY_BYTES);
	return 1;
}

enum err vault_note_publics_of(struct work *w, const struct vault_keyring *keyring,
	struct vault_publics *publics, size_t *added)
{
	unsigned char seed[VAULT_KEY_BYTES], public_key[VAULT_KEY_BYTES];
	struct vault_key_info *list = NULL;
	size_t n = vault_keyring_list(w, keyring, VAULT_RING_AUDIT, &list);
	enum err err = ERR_OK;

	*added = 0;
	for (size_t i = 0; !err && i < n; i++) {
		const struct vault_key *key = NULL;
		size_t id_n = 0;
		const unsigned char *id = text_unhex(w, list[i].id, &id_n);

		if (id && id_n == 4)
			key = vault_keyring_find(keyring, VAULT_RING_AUDIT,
				(uint32_t)id[0] << 24 | (uint32_t)id[1] << 16 |
					(uint32_t)id[2] << 8 | id[3]);
		if (!key)
			continue;
		err = seed_of(key, seed);
		if (!err)
			err = vault_crypto_ed25519_public(seed, public_key);
		if (!err)
			*added += (size_t)add_public(publics, public_key);
	}
	OPENSSL_cleanse(seed, sizeof(seed));
	return err;
}

enum err vault_note_publics_parse(
	struct work *w, const char *text, size_t n, struct vault_publics *publics)
{
	const char *end = text + n, *at = text;

	*publics = (struct vault_publics){0};
	while ((at = memmem(at, (size_t)(end - at), PEM_BEGIN, strlen(PEM_BEGIN)))) {
		size_t got = 0;
		const unsigned char *der = NULL;

		at += strlen(PEM_BEGIN);
		if (end - at >= PEM_KEY_CHARS)
			der = text_unbase64(w, at, PEM_KEY_CHARS, &got);
		if (!der || got != sizeof(spki) + VAULT_KEY_BYTES ||
			memcmp(der, spki, sizeof(spki)) != 0)
			return work_fail(w, ERR_KEY_UNSAFE,
				"the file with the public key holds one that is not Ed25519");
		add_public(publics, der + sizeof(spki));
	}
	if (!publics->n)
		return work_fail(w, ERR_KEY_UNSAFE,
			"the file with the public key holds none (PEM is expected)");
	return ERR_OK;
}

void vault_note_publics_format(
	struct work *w, const struct vault_publics *publics, struct buf *text)
{
	unsigned char der[sizeof(spki) + VAULT_KEY_BYTES];

	memcpy(der, spki, sizeof(spki));
	for (size_t i = 0; i < publics->n; i++) {
		memcpy(der + sizeof(spki), publics->keys[i], VAULT_KEY_BYTES);
		buf_text(text, PEM_BEGIN);
		buf_text(text, text_base64(w, der, sizeof(der)));
		buf_text(text, PEM_END);
	}
}
