/*
 * A key ring as text: JSON with a MAC under its own primary key, so that an edit by hand or a file
 * under the wrong name is noticed. It decides what a sound ring is; it knows no files.
 */
#include "vault/ring.h"

#include "base/jin.h"
#include "base/jout.h"
#include "base/text.h"
#include "vault/crypto.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define FORMAT "vestal-ring-1"
#define MAC_INFO "vestal/ring-mac/v1"
#define ID_DIGITS 8

static const char *const ring_names[] = {
	[VAULT_RING_TOKEN] = "token",
	[VAULT_RING_APP] = "app",
	[VAULT_RING_COPY] = "copy",
	[VAULT_RING_SPOOL] = "spool",
	[VAULT_RING_AUDIT] = "audit",
	[VAULT_RING_SESSION] = "session",
};

static const char *const status_names[] = {
	[VAULT_KEY_ENABLED] = "enabled",
	[VAULT_KEY_DISABLED] = "disabled",
	[VAULT_KEY_DESTROYED] = "destroyed",
};

const char *vault_ring_name(enum vault_ring ring)
{
	return ring_names[ring];
}

enum vault_ring vault_ring_by_name(const char *name)
{
	unsigned ring = 0;

	while (ring < VAULT_RING_COUNT && !text_equal(name, ring_names[ring]))
		ring++;
	return (enum vault_ring)ring;
}

const char *vault_key_status_name(enum vault_key_status status)
{
	return status_names[status];
}

const struct vault_key *vault_ring_key(const struct vault_ring_keys *keys, uint32_t id)
{
	for (size_t i = 0; i < keys->n; i++)
		if (keys->keys[i].id == id)
			return &keys->keys[i];
	return NULL;
}

void vault_ring_free(struct vault_ring_keys *keys)
{
	for (size_t i = 0; i < keys->n; i++)
		secret_free(keys->keys[i].key);
	*keys = (struct vault_ring_keys){0};
}

/* What the MAC covers: every field, one line a key, in the file's order. */
static enum err ring_mac(struct work *w, enum vault_ring ring, const struct vault_ring_keys *keys,
	unsigned char mac[VAULT_HASH_BYTES])
{
	const struct vault_key *primary = vault_ring_key(keys, keys->primary);
	unsigned char mac_key[VAULT_KEY_BYTES];
	struct buf text;
	enum err err;

	buf_init(&text, w, VAULT_RING_TEXT_MAX_BYTES);
	buf_printf(&text, "%s\n%s\n%08" PRIx32 "\n", FORMAT, ring_names[ring], keys->primary);
	for (size_t i = 0; i < keys->n; i++) {
		const struct vault_key *key = &keys->keys[i];

		buf_printf(&text, "%08" PRIx32 " %s %s ", key->id, status_names[key->status],
			key->created);
		buf_text(&text,
			key->key ? text_hex(w, (const unsigned char *)secret_reveal(key->key),
					   VAULT_KEY_BYTES)
				 : "-");
		buf_char(&text, '\n');
	}
	if (!primary || !primary->key || text.overflow)
		return ERR_BUG;
	err = vault_crypto_hkdf_sha256(secret_reveal(primary->key), VAULT_KEY_BYTES, NULL, 0,
		MAC_INFO, strlen(MAC_INFO), mac_key, sizeof(mac_key));
	if (!err)
		err = vault_crypto_hmac_sha256(mac_key, sizeof(mac_key), text.data, text.len, mac);
	OPENSSL_cleanse(mac_key, sizeof(mac_key));
	return err;
}

static enum err unsafe(struct work *w, enum vault_ring ring, const char *what)
{
	return work_fail(w, ERR_KEY_UNSAFE, "%s.ring: %s", ring_names[ring], what);
}

static const char *text_of(const json_t *object, const char *field)
{
	const char *text = json_string_value(json_object_get(object, field));

	return text ? text : "";
}

/* Lower-case hex of exactly n bytes, or NULL. */
static unsigned char *exact_hex(struct work *w, const char *hex, size_t n)
{
	size_t got = 0;

	if (strlen(hex) != n * 2 || strspn(hex, "0123456789abcdef") != n * 2)
		return NULL;
	return text_unhex(w, hex, &got);
}

/* 0, which is never an id, when it is none. */
static uint32_t id_of(struct work *w, const char *hex)
{
	const unsigned char *b = exact_hex(w, hex, ID_DIGITS / 2);

	return b ? (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3] : 0;
}

/* RFC 3339 in UTC as we write it; with or without the fraction. */
static int is_time(const char *text)
{
	static const char whole[] = "0000-00-00T00:00:00.000Z";
	const char *shape = whole;

	for (; *text; text++, shape++) {
		if (*shape == '.' && *text == 'Z')
			return text[1] == '\0';
		if (*shape == '0' ? *text < '0' || *text > '9' : *text != *shape)
			return 0;
	}
	return *shape == '\0';
}

static enum vault_key_status status_by_name(const char *name)
{
	unsigned status = 0;

	while (status < VAULT_KEY_STATUS_COUNT && !text_equal(name, status_names[status]))
		status++;
	return (enum vault_key_status)status;
}

static enum err read_key_bytes(
	struct work *w, enum vault_ring ring, const json_t *entry, struct vault_key *key)
{
	const unsigned char *bytes;

	if (key->status == VAULT_KEY_DESTROYED)
		return ERR_OK;
	bytes = exact_hex(w, text_of(entry, "key"), VAULT_KEY_BYTES);
	if (!bytes)
		return unsafe(w, ring, "a key's bytes are not 64 hex digits");
	key->key = secret_new(NULL, bytes, VAULT_KEY_BYTES);
	return key->key ? ERR_OK : ERR_NO_MEMORY;
}

static enum err read_key(
	struct work *w, enum vault_ring ring, const json_t *entry, struct vault_ring_keys *keys)
{
	struct vault_key key = {0};
	enum err err;

	key.id = id_of(w, text_of(entry, "id"));
	key.status = status_by_name(text_of(entry, "status"));
	if (!key.id || vault_ring_key(keys, key.id))
		return unsafe(w, ring, "a key's id is not 8 hex digits, is zero or is there twice");
	if (key.status == VAULT_KEY_STATUS_COUNT)
		return unsafe(w, ring, "a key's status is not known");
	if (!is_time(text_of(entry, "created")))
		return unsafe(w, ring, "a key's time of creation is not valid");
	if (json_object_size(entry) != (key.status == VAULT_KEY_DESTROYED ? 3 : 4))
		return unsafe(w, ring, "a key has a field too many, or a destroyed key has bytes");
	snprintf(key.created, sizeof(key.created), "%s", text_of(entry, "created"));
	err = read_key_bytes(w, ring, entry, &key);
	if (!err)
		keys->keys[keys->n++] = key;
	return err;
}

static enum err read_keys(
	struct work *w, enum vault_ring ring, const json_t *list, struct vault_ring_keys *keys)
{
	enum err err = ERR_OK;

	if (!json_is_array(list) || !json_array_size(list) ||
		json_array_size(list) > VAULT_RING_KEYS_MAX)
		return unsafe(w, ring, "the keys are not a list of 1 to 64");
	for (size_t i = 0; i < json_array_size(list) && !err; i++)
		err = read_key(w, ring, json_array_get(list, i), keys);
	return err;
}

static enum err check_mac(
	struct work *w, enum vault_ring ring, const struct vault_ring_keys *keys, const char *hex)
{
	const unsigned char *said = exact_hex(w, hex, VAULT_HASH_BYTES);
	unsigned char mac[VAULT_HASH_BYTES];
	enum err err = ring_mac(w, ring, keys, mac);

	if (err)
		return err;
	if (!said || !vault_crypto_equal(said, mac, sizeof(mac)))
		return unsafe(w, ring,
			"its MAC does not fit: the file was changed by other means than vestalctl");
	return ERR_OK;
}

static enum err read_ring(
	struct work *w, enum vault_ring ring, const json_t *top, struct vault_ring_keys *keys)
{
	const struct vault_key *primary;
	enum err err;

	if (!json_is_object(top))
		return unsafe(w, ring, "it is not a JSON object");
	if (!text_equal(text_of(top, "format"), FORMAT))
		return unsafe(w, ring, "its format is not " FORMAT);
	if (!text_equal(text_of(top, "ring"), ring_names[ring]))
		return unsafe(w, ring, "it holds another ring than its name says");
	if (json_object_size(top) != 5)
		return unsafe(w, ring, "it has an unknown field or lacks one");
	err = read_keys(w, ring, json_object_get(top, "keys"), keys);
	if (err)
		return err;
	keys->primary = id_of(w, text_of(top, "primary"));
	primary = vault_ring_key(keys, keys->primary);
	if (!primary || primary->status != VAULT_KEY_ENABLED)
		return unsafe(w, ring, "its primary key is not there, disabled or destroyed");
	return check_mac(w, ring, keys, text_of(top, "mac"));
}

enum err vault_ring_parse(struct work *w, enum vault_ring ring, const char *text, size_t n,
	struct vault_ring_keys *keys)
{
	enum err err;

	*keys = (struct vault_ring_keys){0};
	err = read_ring(w, ring, jin_parse(w, text, n), keys);
	if (err)
		vault_ring_free(keys);
	return err;
}

static void write_key(struct work *w, struct jout *j, const struct vault_key *key)
{
	jout_object(j, NULL);
	jout_text(j, "id", work_printf(w, "%08" PRIx32, key->id));
	jout_text(j, "status", status_names[key->status]);
	jout_text(j, "created", key->created);
	if (key->key)
		jout_text(j, "key",
			text_hex(w, (const unsigned char *)secret_reveal(key->key),
				VAULT_KEY_BYTES));
	jout_end_object(j);
}

enum err vault_ring_format(
	struct work *w, enum vault_ring ring, const struct vault_ring_keys *keys, struct buf *text)
{
	unsigned char mac[VAULT_HASH_BYTES];
	enum err err = ring_mac(w, ring, keys, mac);
	struct jout j;

	if (err)
		return err;
	jout_init(&j, text);
	jout_object(&j, NULL);
	jout_text(&j, "format", FORMAT);
	jout_text(&j, "ring", ring_names[ring]);
	jout_text(&j, "primary", work_printf(w, "%08" PRIx32, keys->primary));
	jout_array(&j, "keys");
	for (size_t i = 0; i < keys->n; i++)
		write_key(w, &j, &keys->keys[i]);
	jout_end_array(&j);
	jout_text(&j, "mac", text_hex(w, mac, sizeof(mac)));
	jout_end_object(&j);
	buf_char(text, '\n');
	return text->overflow ? ERR_BUG : ERR_OK;
}

static enum err new_id(const struct vault_ring_keys *keys, uint32_t *id)
{
	enum err err;

	do
		err = vault_crypto_random_public(id, sizeof(*id));
	while (!err && (!*id || vault_ring_key(keys, *id)));
	return err;
}

enum err vault_ring_add(struct work *w, struct vault_ring_keys *keys)
{
	struct vault_key key = {.status = VAULT_KEY_ENABLED};
	enum err err;

	if (keys->n == VAULT_RING_KEYS_MAX)
		return work_fail(
			w, ERR_CONFLICT, "the ring is full: it holds %d keys", VAULT_RING_KEYS_MAX);
	err = new_id(keys, &key.id);
	if (err)
		return work_cause(w, err, "random");
	clock_text(clock_wall_ms(), key.created);
	key.key = secret_new(NULL, NULL, VAULT_KEY_BYTES);
	if (!key.key)
		return ERR_NO_MEMORY;
	err = vault_crypto_random(secret_fill(key.key), VAULT_KEY_BYTES);
	if (err) {
		secret_free(key.key);
		return work_cause(w, err, "random");
	}
	if (!keys->n)
		keys->primary = key.id;
	keys->keys[keys->n++] = key;
	return ERR_OK;
}
