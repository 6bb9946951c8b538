/*
 * Sealed copies: <state_dir>/copies/<client>/<provider>.vst, one a connection, from which it can be
 * rebuilt when the database is lost. What stands in a copy is the caller's.
 *
 * A file is "VSTC" | version 1 | generation (8, big endian) | a blob of the copy ring, bound to all
 * of these.
 */
#ifndef VESTAL_VAULT_COPY_H
#define VESTAL_VAULT_COPY_H

#include "base/file.h"
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
 * Many copies that wait for the disk together. It keeps other writers off the clients' folders from
 * vault_copy_batch_add() to vault_copy_batch_finish(); copies in order of client and provider are
 * finished the fewest times.
 */
struct vault_copy_batch;

/* Owns: w; what is not finished when it ends is taken back. */
struct vault_copy_batch *vault_copy_batch_new(
	struct work *w, const struct vault_keyring *k, const char *state_dir);

/*
 * vault_copy_write(), but that the copy is in place only when *outcome says so, after
 * vault_copy_batch_finish(). w: of this copy alone. Returns: as vault_copy_write(); then it was not
 * added.
 */
enum err vault_copy_batch_add(struct work *w, struct vault_copy_batch *batch, const char *client,
	const char *provider, int64_t generation, const struct secret *content,
	struct file_outcome *outcome) MUST_CHECK;

/* Each is durable, or its outcome says why not. */
void vault_copy_batch_finish(struct vault_copy_batch *batch);

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
