/* The entries of a file, one at a time in constant memory: a JSON array of objects, or CSV with a
 * header. */
#ifndef VESTAL_CTL_ENTRIES_H
#define VESTAL_CTL_ENTRIES_H

#include "base/work.h"

#include <stddef.h>

#define CTL_ENTRY_FIELDS_MAX 32
#define CTL_ENTRY_MAX_BYTES ((size_t)64 * 1024)
#define CTL_ENTRIES_PIPE_MAX_BYTES ((size_t)64 * 1024 * 1024) /* of what cannot be read twice */

struct ctl_entry {
	int64_t line;                             /* where it begins */
	const char *values[CTL_ENTRY_FIELDS_MAX]; /* in the order of the names; NULL: absent */
};

struct ctl_entries;

/*
 * Begins with what fd is at. path: what it is called, whose end .json or .csv says what it is; else
 * its first character does. names: the fields there may be, up to a NULL. What cannot be read twice
 * is copied to memory first. Returns: ERR_INPUT (not such a file; unknown or repeated columns),
 * ERR_IO, both with the work's detail. Owns: the work, which wipes what was read.
 */
enum err ctl_entries_open(struct work *w, int fd, const char *path, const char *const *names,
	struct ctl_entries **entries) MUST_CHECK;

/* Begins anew. */
enum err ctl_entries_rewind(struct work *w, struct ctl_entries *entries) MUST_CHECK;

/*
 * The next entry. Returns: ERR_NOT_FOUND behind the last one; ERR_INPUT with the faults of its
 * fields, after which the next can be read; ERR_CONFIG with the detail when the file cannot be
 * understood from here on; ERR_IO. No fault repeats what stands in the file. Owns: w.
 */
enum err ctl_entries_next(
	struct work *w, struct ctl_entries *entries, struct ctl_entry *entry) MUST_CHECK;

#endif
