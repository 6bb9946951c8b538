/* The key rings that a program holds. Which ones it was given decides what it can open. */
#ifndef VESTAL_VAULT_KEYRING_H
#define VESTAL_VAULT_KEYRING_H

#include "vault/ring.h"

#define VAULT_RING_BIT(ring) (1u << (ring))
#define VAULT_RINGS_ALL (VAULT_RING_BIT(VAULT_RING_COUNT) - 1)

/* Constant for its users; the keys behind it are replaced when their files are. */
struct vault_keyring;

/* A key without its bytes. */
struct vault_key_info {
	char id[9]; /* 8 hex digits */
	char created[CLOCK_TEXT_BYTES];
	enum vault_key_status status;
	int primary;
};

/*
 * Loads the rings of the mask (VAULT_RING_BIT) from key_dir or the systemd credentials.
 * Returns: ERR_KEY_UNKNOWN (no such ring), ERR_KEY_UNSAFE, ERR_IO, with file and fault as the
 * work's detail; ERR_NO_MEMORY. Owns: the caller (vault_keyring_free); the keys outlive the work.
 */
enum err vault_keyring_load(struct work *w, const char *key_dir, unsigned rings_mask,
	struct vault_keyring **out) MUST_CHECK;

/* Clears and frees all keys. NULL is fine. */
void vault_keyring_free(struct vault_keyring *keyring);

/*
 * Reads the rings again when a file was replaced, looking at most once a second. When a new file
 * cannot be used, the fault is logged and the old keys stay. Keys handed out before are gone when
 * it returns 1, else 0.
 */
int vault_keyring_reload_if_changed(const struct vault_keyring *keyring);

/* The key that seals, or NULL when the ring was not loaded. Lives until the next reload. */
const struct vault_key *vault_keyring_primary(
	const struct vault_keyring *keyring, enum vault_ring ring);

/* Whether the files cannot be used any more as they are now: the keys that were loaded before still
 * are. */
int vault_keyring_is_stale(const struct vault_keyring *keyring);

/*
 * The key of that id, or NULL when it is not there, disabled or destroyed. An id that is not there
 * is looked for once more in the files, see vault_keyring_reload_if_changed(). Lives until the next
 * reload.
 */
const struct vault_key *vault_keyring_find(
	const struct vault_keyring *keyring, enum vault_ring ring, uint32_t key_id);

/* What a ring holds, in the file's order. Returns the number of keys. Owns: the work. */
size_t vault_keyring_list(struct work *w, const struct vault_keyring *keyring, enum vault_ring ring,
	struct vault_key_info **out);

/*
 * Adds a new key to a ring's file; makes folder and file when they are not there, and only then the
 * key is the primary. Adders wait for each other. Returns: ERR_KEY_UNSAFE, ERR_CONFLICT (the ring
 * is full), ERR_IO, ERR_NO_MEMORY, ERR_BUG.
 */
enum err vault_keyring_add(struct work *w, const char *key_dir, enum vault_ring ring,
	struct vault_key_info *made) MUST_CHECK;

#endif
