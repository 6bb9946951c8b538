/* Files that are read whole and replaced whole: a reader sees the old one or the new one, also
 * after a power cut. */
#ifndef VESTAL_BASE_FILE_H
#define VESTAL_BASE_FILE_H

#include "base/work.h"

#include <sys/types.h>

/*
 * Opens the directory path, below dir_fd unless it is absolute; makes it (mode) when create is set.
 * The last part is never followed when it is a link. dir_fd: an open directory or AT_FDCWD.
 * Returns: ERR_IO. Owns: the work closes *fd.
 */
enum err file_open_dir(
	struct work *w, int dir_fd, const char *path, int create, mode_t mode, int *fd) MUST_CHECK;

/*
 * Replaces the file name in dir_fd by n bytes: temporary file, fsync, rename, fsync of the
 * directory. gid (gid_t)-1: left as it is. On failure the old file stands and nothing else is left.
 * Writers of one file must exclude each other. Returns: ERR_IO.
 */
enum err file_replace(struct work *w, int dir_fd, const char *name, const void *bytes, size_t n,
	mode_t mode, gid_t gid) MUST_CHECK;

/*
 * Reads a regular file of at most max_bytes; links are not followed. A NUL follows the last byte.
 * Returns: ERR_NOT_FOUND, ERR_IO. Owns: bytes live in w.
 */
enum err file_read(struct work *w, int dir_fd, const char *name, size_t max_bytes, char **bytes,
	size_t *n) MUST_CHECK;

/* Removes a file and makes that durable; one that is not there is fine. Returns: ERR_IO. */
enum err file_remove(struct work *w, int dir_fd, const char *name) MUST_CHECK;

#endif
