/*
 * Sealed copies: <state_dir>/copies/<client>/<provider>.vst, one a connection, from which it can be
 * rebuilt when the database is lost. What stands in a copy is the caller's.
 *
 * A file is "VSTC" | version 1 | generation (8, big endian) | a blob of the copy ring, bound to all
 * of these.
 */
#ifndef VESTAL_VAULT_COPY_H
#define VESTAL_VAULT_COPY_H

#include "vault/seal.h"

/*
 * Writes a copy, whole or not at all. One that cannot be opened, though its key is there, is broken
 * and replaced. Returns: ERR_CONFLICT when there is one of a newer generation, which stays;
 * ERR_INPUT, ERR_TOO_LARGE, ERR_KEY_UNKNOWN, ERR_IO, ERR_BUG.
 */
enum err vault_copy_write(struct work *w, const struct vault_keyring *k, const char *state_dir,
	const char *client, const char *provider, int64_t generation,
	const struct secret *content) MUST_CHECK;

/*
 * Reads a copy. Returns: ERR_NOT_FOUND, ERR_INPUT, ERR_SEALED, ERR_KEY_UNKNOWN, ERR_IO,
 * ERR_NO_MEMORY. Owns: the work.
 */
enum err vault_copy_read(struct work *w, const struct vault_keyring *k, const char *state_dir,
	const char *client, const char *provider, int64_t *generation,
	struct secret **content) MUST_CHECK;

/* Removes a copy; one that is not there is fine. Returns: ERR_INPUT, ERR_IO. */
enum err vault_copy_remove(
	struct work *w, const char *state_dir, const char *client, const char *provider) MUST_CHECK;

#endif
