/*
 * A file of the spool, and the folder they are in: names, locks, who makes, takes and removes them.
 * What stands behind the header is vault/spool.c's. Only the spool includes this.
 */
#ifndef VESTAL_VAULT_SPOOL_FILE_H
#define VESTAL_VAULT_SPOOL_FILE_H

#include "vault/spool.h"

#define VAULT_SPOOL_FILE_HEADER_BYTES ((size_t)4096)

/* A file that this process holds. */
struct vault_spool_file {
	int dir_fd, fd;
	char name[VAULT_SPOOL_NAME_MAX_BYTES];
};

#define VAULT_SPOOL_FILE_NONE ((struct vault_spool_file){.dir_fd = -1, .fd = -1})

/*
 * Makes a file with bytes reserved behind its header, all 0; durable, name and all. Returns:
 * ERR_IO, ERR_BUG (no random numbers), and no file is left behind. Owns: the caller
 * (vault_spool_file_close), also when it fails.
 */
enum err vault_spool_file_create(struct work *w, const char *state_dir, const char *host,
	size_t bytes, struct vault_spool_file *file) MUST_CHECK;

/*
 * Takes one that nobody holds. *bytes: how many stand behind its header. Returns: ERR_NOT_FOUND,
 * ERR_IO. Owns: the caller, also when it fails.
 */
enum err vault_spool_file_take(struct work *w, const char *state_dir, struct vault_spool_file *file,
	size_t *bytes) MUST_CHECK;

/* Closes the file, and removes it first when asked to. */
void vault_spool_file_close(struct vault_spool_file *file, int remove);

/* Write or read n bytes, from byte at behind the header on; what is behind the end of the file
 * reads as 0. Return 0, or -1 and set errno. */
int vault_spool_file_write(
	const struct vault_spool_file *file, const void *bytes, size_t n, size_t at) MUST_CHECK;
int vault_spool_file_read(
	const struct vault_spool_file *file, void *bytes, size_t n, size_t at) MUST_CHECK;

/* Makes what was written durable. Returns 0, or -1 and sets errno; never tried again by itself. */
int vault_spool_file_sync(const struct vault_spool_file *file) MUST_CHECK;

/* See vault_spool_look(). */
enum err vault_spool_file_look(
	struct work *w, const char *state_dir, struct vault_spool_status *status) MUST_CHECK;

#endif
