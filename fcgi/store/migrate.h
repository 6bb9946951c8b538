/* The schema's version and the way to it. */
#ifndef VESTAL_STORE_MIGRATE_H
#define VESTAL_STORE_MIGRATE_H

#include "store/db.h"

struct store_script {
	const char *name, *sql;
};

/* Made by tools/dev/embed-sql.awk: the numbered files of sql/schema, then what is applied anew each
 * time. */
extern const struct store_script store_schema_scripts[];
extern const struct store_script store_view_scripts[];

/*
 * Brings the schema up to that version, forward only, in one transaction as vestal_owner; views and
 * grants are made anew each time. *from: the version that was there. Returns: ERR_SCHEMA_MISMATCH
 * when the database is newer, or a file that was applied has changed since.
 */
enum err store_migrate(struct work *w, struct store_db *db, int *from) MUST_CHECK;

#endif
