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
 * Many files, each replaced as file_replace() does, that wait for the disk together: written at
 * once under their temporary names, then all flushed, renamed, and their directories flushed.
 */
struct file_batch;

#define FILE_BATCH_MAX 64

/* What became of a file of a batch: ERR_OK or ERR_IO, with its cause. */
struct file_outcome {
	enum err err;
	const char *cause; /* for our log, as of work_cause(). Owns: the batch's work */
};

/* Owns: w, in which the directories were opened before: what is not finished when it ends is taken
 * back. */
struct file_batch *file_batch_new(struct work *w);

/*
 * Adds a file, once in a batch; the old one stands until file_batch_finish(), which fills *outcome.
 * dir_fd stays open until then. w: whose the error is. Returns: ERR_IO, and it was not added;
 * ERR_BUG for more than FILE_BATCH_MAX.
 */
enum err file_batch_add(struct work *w, struct file_batch *batch, int dir_fd, const char *name,
	const void *bytes, size_t n, mode_t mode, gid_t gid,
	struct file_outcome *outcome) MUST_CHECK;

/* How many wait to be finished. */
size_t file_batch_count(const struct file_batch *batch);

/* Brings all of them in place, each by itself: it is durable, or its outcome says why not. Empties
 * the batch. */
void file_batch_finish(struct file_batch *batch);

/*
 * Reads a regular file of at most max_bytes; links are not followed. A NUL follows the last byte.
 * Returns: ERR_NOT_FOUND, ERR_IO. Owns: bytes live in w.
 */
enum err file_read(struct work *w, int dir_fd, const char *name, size_t max_bytes, char **bytes,
	size_t *n) MUST_CHECK;

/* Removes a file and makes that durable; one that is not there is fine. Returns: ERR_IO. */
enum err file_remove(struct work *w, int dir_fd, const char *name) MUST_CHECK;

#endif
