/* The audit trail outside the database: exported with a signed manifest, and what was exported and
 * is proved may be pruned. */
#ifndef VESTAL_CUSTODY_ARCHIVE_H
#define VESTAL_CUSTODY_ARCHIVE_H

#include "base/conf.h"
#include "store/seal.h"

struct custody_export {
	const char *month;     /* "2026-01", or NULL for a range */
	const char *from, *to; /* RFC 3339; to is not in it */
	const char *file;      /* its name, for the manifest */
	int fd, manifest_fd;   /* where it goes; both flushed to disk */
	int is_csv;
	/* answered */
	int64_t rows, unsealed;
	char sha256[65];
};

/* "YYYY-MM" as its first moment and that of the next month. Returns 0 when it is none. Owns: the
 * work. */
int custody_archive_month(struct work *w, const char *month, const char **from, const char **to);

/*
 * Writes the events as JSON lines, every column verbatim, or as CSV in which no cell is a formula;
 * and a manifest: a note signed by the audit key with range, rows and SHA-256, followed by the
 * checkpoint it belongs to. An event says so before the first row is read (audit.read) and when it
 * is whole (audit.exported). db: as STORE_SEALER. Returns: ERR_CONFLICT when nothing is sealed yet;
 * the key ring's, the database's, ERR_IO.
 */
enum err custody_archive_export(struct work *w, const struct conf *conf, struct store_db *db,
	struct custody_export *asked) MUST_CHECK;

/*
 * Drops a month that is over, sealed, exported whole as JSON lines and anchored in this host's
 * checkpoint files. A signed checkpoint of the same commit says which leaves lose their events; the
 * leaves stay. *rows: how many events are gone. Returns: ERR_CONFLICT with the reason against it.
 */
enum err custody_archive_prune(struct work *w, const struct conf *conf, struct store_db *db,
	const char *month, int64_t *rows) MUST_CHECK;

#endif
