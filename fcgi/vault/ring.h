/*
 * One key ring: the keys of one purpose, as they stand in memory and as text. Where the text is
 * kept is vault/ring_file.h's business, which rings a program holds vault/keyring.h's.
 */
#ifndef VESTAL_VAULT_RING_H
#define VESTAL_VAULT_RING_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/secret.h"

#include <stdint.h>

/* One ring a purpose, so that a program can only open what it is given the ring for. */
enum vault_ring {
	VAULT_RING_TOKEN,
	VAULT_RING_APP,
	VAULT_RING_COPY,
	VAULT_RING_SPOOL,
	VAULT_RING_AUDIT,
	VAULT_RING_SESSION,
	VAULT_RING_COUNT
};

enum vault_key_status {
	VAULT_KEY_ENABLED,
	VAULT_KEY_DISABLED,  /* opens nothing, until it is enabled again */
	VAULT_KEY_DESTROYED, /* its bytes are gone; the entry tells that it was */
	VAULT_KEY_STATUS_COUNT
};

#define VAULT_RING_KEYS_MAX 64
#define VAULT_RING_TEXT_MAX_BYTES ((size_t)64 * 1024)

struct vault_key {
	uint32_t id; /* random, never 0 */
	enum vault_key_status status;
	char created[CLOCK_TEXT_BYTES]; /* RFC 3339, UTC */
	struct secret *key;             /* VAULT_KEY_BYTES; NULL when destroyed */
};

struct vault_ring_keys {
	struct vault_key keys[VAULT_RING_KEYS_MAX];
	size_t n;
	uint32_t primary; /* the id of the key that seals */
};

/* "token", "app", "copy", "spool", "audit", "session". */
const char *vault_ring_name(enum vault_ring ring);

/* The ring of that name, or VAULT_RING_COUNT. */
enum vault_ring vault_ring_by_name(const char *name);

/* "enabled", "disabled", "destroyed". */
const char *vault_key_status_name(enum vault_key_status status);

/* The key of that id, whatever its status, or NULL. */
const struct vault_key *vault_ring_key(const struct vault_ring_keys *keys, uint32_t id);

/*
 * Reads a ring's text. Refused: anything but the fields of the format, another ring's name, ids
 * that are 0 or repeated, a primary that is not an enabled key, destroyed keys with bytes and
 * others without, a MAC that does not fit. Returns: ERR_KEY_UNSAFE with what is wrong as the
 * detail, ERR_NO_MEMORY; keys is empty then. Owns: the caller (vault_ring_free).
 */
enum err vault_ring_parse(struct work *w, enum vault_ring ring, const char *text, size_t n,
	struct vault_ring_keys *keys) MUST_CHECK;

/* Writes a ring's text with its MAC. Returns: ERR_BUG. */
enum err vault_ring_format(struct work *w, enum vault_ring ring, const struct vault_ring_keys *keys,
	struct buf *text) MUST_CHECK;

/*
 * Adds a new enabled key, which becomes the primary when it is the first.
 * Returns: ERR_CONFLICT when the ring is full, ERR_NO_MEMORY, ERR_BUG.
 */
enum err vault_ring_add(struct work *w, struct vault_ring_keys *keys) MUST_CHECK;

/* Clears and frees the keys; the ring is empty then. */
void vault_ring_free(struct vault_ring_keys *keys);

#endif
