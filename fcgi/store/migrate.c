/*
 * Forward-only migrations. It decides which scripts still have to run and refuses a database that
 * went another way; what a script does is its own business.
 */
#include "store/migrate.h"

#include <stdlib.h>

static enum err latest(struct work *w, struct store_db *db, int *version)
{
	struct store_rows *rows = NULL;
	enum err err = store_run_plain(w, db, STMT_SCHEMA_LATEST, &rows);

	if (err)
		return err;
	*version = (int)store_get_int(rows, 0, 0);
	if (*version > STORE_SCHEMA_VERSION)
		return work_fail(w, ERR_SCHEMA_MISMATCH,
			"the schema's version is %d, this program knows %d", *version,
			STORE_SCHEMA_VERSION);
	return ERR_OK;
}

static enum err check_applied(
	struct work *w, struct store_db *db, const struct store_script *script)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_SCHEMA_APPLIED, &rows, store_int(atoi(script->name)),
		store_text(script->sql));

	if (err)
		return err;
	if (store_count(rows) == 1 && store_get_bool(rows, 0, 0))
		return ERR_OK;
	return work_fail(w, ERR_SCHEMA_MISMATCH,
		"%s is not the script that was applied to this database", script->name);
}

static enum err apply(struct work *w, struct store_db *db, const struct store_script *script)
{
	enum err err = store_db_script(w, db, script->sql);

	if (err)
		return work_fail(
			w, err, "%s failed (%s)", script->name, w->cause ? w->cause : "no cause");
	return store_run(w, db, STMT_SCHEMA_RECORD, NULL, store_int(atoi(script->name)),
		store_text(script->name), store_text(script->sql));
}

static enum err migrate(struct work *w, struct store_db *db, void *context)
{
	const struct store_script *script = store_schema_scripts;
	int *from = context;
	enum err err = store_db_script(w, db, "set local role vestal_owner");

	if (!err)
		err = store_db_script(w, db, script++->sql);
	if (!err)
		err = latest(w, db, from);
	for (; !err && script->name; script++)
		err = atoi(script->name) <= *from ? check_applied(w, db, script)
						  : apply(w, db, script);
	if (!err)
		err = store_run_plain(w, db, STMT_AUDIT_MAKE_PARTITIONS,
			NULL); /* time passes without new scripts */
	for (script = store_view_scripts; !err && script->name; script++) {
		err = store_db_script(w, db, script->sql);
		if (err)
			work_fail(w, err, "%s failed (%s)", script->name,
				w->cause ? w->cause : "no cause");
	}
	return err;
}

enum err store_migrate(struct work *w, struct store_db *db, int *from)
{
	enum err err = store_db_ready_bare(w, db);

	return err ? err : store_db_transaction(w, db, migrate, from);
}
