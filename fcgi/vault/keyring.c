/*
 * The rings in memory. It decides when they are read and read again; what a safe file and a sound
 * ring are is decided by vault/ring_file.h and vault/ring.h.
 */
#include "vault/keyring.h"

#include "base/clock.h"
#include "base/log.h"
#include "vault/ring_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOOK_EVERY_MS 1000
#define LOAD_BUDGET_MS 5000

struct loaded {
	struct vault_ring_keys rings[VAULT_RING_COUNT];
	struct vault_ring_stamp stamps[VAULT_RING_COUNT];
};

/* Behind a pointer, because it changes under users to whom the keyring is constant. */
struct state {
	int is_stale; /* the files on disk cannot be used, what was loaded before is */
	struct loaded *loaded;
	int64_t looked_ms;
	int has_looked;
};

struct vault_keyring {
	struct state *state;
	char *key_dir;
	unsigned rings_mask;
};

static void loaded_free(struct loaded *loaded)
{
	if (!loaded)
		return;
	for (size_t i = 0; i < VAULT_RING_COUNT; i++)
		vault_ring_free(&loaded->rings[i]);
	free(loaded);
}

static enum err load(struct work *w, const struct vault_keyring *keyring, struct loaded **out)
{
	struct loaded *loaded = calloc(1, sizeof(*loaded));
	enum err err = loaded ? ERR_OK : ERR_NO_MEMORY;

	for (unsigned i = 0; i < VAULT_RING_COUNT && !err; i++)
		if (keyring->rings_mask & VAULT_RING_BIT(i))
			err = vault_ring_file_read(w, keyring->key_dir, (enum vault_ring)i,
				&loaded->rings[i], &loaded->stamps[i]);
	if (err)
		loaded_free(loaded);
	else
		*out = loaded;
	return err;
}

/* Ends a unit of work of our own, which held key bytes as text, and hands its error on. */
static enum err end_own(struct work *own, struct work *w, enum err err)
{
	if (err && own->detail)
		work_fail(w, err, "%s", own->detail);
	if (err && own->cause)
		work_cause(w, err, "%s", own->cause);
	work_end(own);
	return err;
}

enum err vault_keyring_load(
	struct work *w, const char *key_dir, unsigned rings_mask, struct vault_keyring **out)
{
	struct vault_keyring *keyring = calloc(1, sizeof(*keyring));
	struct work own;
	enum err err;

	*out = NULL;
	if (!keyring)
		return ERR_NO_MEMORY;
	keyring->rings_mask = rings_mask;
	keyring->key_dir = strdup(key_dir);
	keyring->state = calloc(1, sizeof(*keyring->state));
	if (!keyring->key_dir || !keyring->state) {
		vault_keyring_free(keyring);
		return ERR_NO_MEMORY;
	}
	work_begin(&own, LOAD_BUDGET_MS);
	err = end_own(&own, w, load(&own, keyring, &keyring->state->loaded));
	if (err)
		vault_keyring_free(keyring);
	else
		*out = keyring;
	return err;
}

void vault_keyring_free(struct vault_keyring *keyring)
{
	if (!keyring)
		return;
	if (keyring->state)
		loaded_free(keyring->state->loaded);
	free(keyring->state);
	free(keyring->key_dir);
	free(keyring);
}

static int changed(struct work *w, const struct vault_keyring *keyring)
{
	const struct loaded *loaded = keyring->state->loaded;

	for (unsigned i = 0; i < VAULT_RING_COUNT; i++)
		if (keyring->rings_mask & VAULT_RING_BIT(i) &&
			vault_ring_file_changed(
				w, keyring->key_dir, (enum vault_ring)i, &loaded->stamps[i]))
			return 1;
	return 0;
}

static int reload(struct work *w, const struct vault_keyring *keyring)
{
	struct loaded *fresh = NULL;
	enum err err;

	if (!changed(w, keyring)) {
		keyring->state->is_stale = 0;
		return 0;
	}
	err = load(w, keyring, &fresh);
	keyring->state->is_stale = err != ERR_OK;
	if (err) {
		log_event(LOG_ERROR, "keyring.reload_failed", LOG_TEXT("error", err_slug(err)),
			LOG_TEXT("detail", w->detail));
		return 0;
	}
	loaded_free(keyring->state->loaded);
	keyring->state->loaded = fresh;
	log_event(LOG_INFO, "keyring.reloaded", LOG_TEXT("key_dir", keyring->key_dir));
	return 1;
}

int vault_keyring_reload_if_changed(const struct vault_keyring *keyring)
{
	struct state *state = keyring->state;
	int64_t now = clock_monotonic_ms();
	struct work own;
	int reloaded;

	if (state->has_looked && now - state->looked_ms < LOOK_EVERY_MS)
		return 0;
	state->has_looked = 1;
	state->looked_ms = now;
	work_begin(&own, LOAD_BUDGET_MS);
	reloaded = reload(&own, keyring);
	work_end(&own);
	return reloaded;
}

int vault_keyring_is_stale(const struct vault_keyring *keyring)
{
	return keyring->state->is_stale;
}

static const struct vault_ring_keys *ring_of(
	const struct vault_keyring *keyring, enum vault_ring ring)
{
	return &keyring->state->loaded->rings[ring];
}

const struct vault_key *vault_keyring_primary(
	const struct vault_keyring *keyring, enum vault_ring ring)
{
	const struct vault_ring_keys *keys = ring_of(keyring, ring);

	return vault_ring_key(keys, keys->primary);
}

static const struct vault_key *find_enabled(
	const struct vault_keyring *keyring, enum vault_ring ring, uint32_t key_id)
{
	const struct vault_key *key = vault_ring_key(ring_of(keyring, ring), key_id);

	return key && key->status == VAULT_KEY_ENABLED ? key : NULL;
}

const struct vault_key *vault_keyring_find(
	const struct vault_keyring *keyring, enum vault_ring ring, uint32_t key_id)
{
	const struct vault_key *key = find_enabled(keyring, ring, key_id);

	if (!key && vault_keyring_reload_if_changed(keyring))
		key = find_enabled(keyring, ring, key_id);
	return key;
}

static struct vault_key_info info_of(const struct vault_key *key, uint32_t primary)
{
	struct vault_key_info info = {.status = key->status, .primary = key->id == primary};

	snprintf(info.id, sizeof(info.id), "%08" PRIx32, key->id);
	memcpy(info.created, key->created, sizeof(info.created));
	return info;
}

size_t vault_keyring_list(struct work *w, const struct vault_keyring *keyring, enum vault_ring ring,
	struct vault_key_info **out)
{
	const struct vault_ring_keys *keys = ring_of(keyring, ring);

	*out = work_alloc(w, keys->n * sizeof(**out));
	for (size_t i = 0; i < keys->n; i++)
		(*out)[i] = info_of(&keys->keys[i], keys->primary);
	return keys->n;
}

/* The folder itself is the lock: nothing is left lying about, and closing it unlocks. */
static enum err lock(struct work *w, int fd)
{
	int done;

	do
		done = flock(fd, LOCK_EX);
	while (done < 0 && errno == EINTR);
	return done < 0 ? work_cause(w, ERR_IO, "flock: %s", strerrorname_np(errno)) : ERR_OK;
}

static enum err add_at(
	struct work *w, int dir_fd, enum vault_ring ring, struct vault_key_info *made)
{
	struct vault_ring_keys keys = {0};
	struct vault_ring_stamp stamp;
	enum err err = vault_ring_file_read_at(w, dir_fd, 0, ring, &keys, &stamp);

	if (err == ERR_NOT_FOUND)
		err = ERR_OK;
	if (!err)
		err = vault_ring_add(w, &keys);
	if (!err)
		err = vault_ring_file_write_at(w, dir_fd, ring, &keys);
	if (!err)
		*made = info_of(&keys.keys[keys.n - 1], keys.primary);
	vault_ring_free(&keys);
	return err;
}

static enum err add(
	struct work *w, const char *key_dir, enum vault_ring ring, struct vault_key_info *made)
{
	enum err err;
	int fd;

	if (mkdir(key_dir, 0700) < 0 && errno != EEXIST)
		return work_fail(
			w, ERR_IO, "the key folder cannot be made (%s)", strerrorname_np(errno));
	err = vault_ring_file_dir(w, key_dir, &fd);
	if (!err)
		err = lock(w, fd);
	return err ? err : add_at(w, fd, ring, made);
}

enum err vault_keyring_add(
	struct work *w, const char *key_dir, enum vault_ring ring, struct vault_key_info *made)
{
	struct work own;

	work_begin(&own, LOAD_BUDGET_MS);
	return end_own(&own, w, add(&own, key_dir, ring, made));
}
