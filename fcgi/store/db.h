/*
 * The database's door: connection, statements, transactions, time limits. Statements are the files
 * of sql/queries, prepared at every connect under the program's own role; no SQL text is ever put
 * together here or elsewhere.
 */
#ifndef VESTAL_STORE_DB_H
#define VESTAL_STORE_DB_H

#include "base/conf.h"
#include "base/work.h"
#include "store/stmt.auto.h"

/* STORE_OWNER marks the statements of migrations, which run unprepared. */
enum store_role { STORE_WORKER, STORE_REFRESHER, STORE_OPERATOR, STORE_SEALER, STORE_OWNER };

struct store_db;
struct store_rows;

/* One parameter of a statement: made by the functions below (store/param.c). */
struct store_param {
	const char *value; /* NULL: null */
	int bytes;         /* of a binary value; -1: a text */
	char digits[24];
};

struct store_param store_text(const char *value);
struct store_param store_int(int64_t value);
struct store_param store_int_or_null(int64_t value, int is_null);
struct store_param store_bool(int value);
struct store_param store_bytes(const void *bytes, size_t n);
struct store_param store_null(void);

/* Numbers as the statements take many of them: a PostgreSQL array. Owns: the work. */
const char *store_id_array(struct work *w, const int64_t *ids, size_t n);

/*
 * A handle that is not connected yet. Returns: ERR_CONFIG for a setting `database` that libpq
 * cannot read or that names a user; ERR_NO_MEMORY. Owns: the caller (store_db_free).
 */
enum err store_db_new(struct work *w, const struct conf *conf, enum store_role role,
	struct store_db **db) MUST_CHECK;
void store_db_free(struct store_db *db);

/* The program that connects so, as events name it. */
const char *store_db_program(const struct store_db *db);

/*
 * Connects when there is no living connection, compares the schema's version and prepares the
 * role's statements. After a failed connect nobody tries again for as long as it took. Returns:
 * ERR_DB_AWAY, ERR_DB_TIMEOUT, ERR_SCHEMA_MISMATCH.
 */
enum err store_db_ready(struct work *w, struct store_db *db) MUST_CHECK;

/* The same, and the version is compared now, not only when the connection was made: for whoever
 * asks how things are. */
enum err store_db_check(struct work *w, struct store_db *db) MUST_CHECK;

/*
 * Runs one statement; it is over, and outside a transaction committed, when this returns ERR_OK.
 * rows may be NULL. Owns: the work releases *rows.
 * Returns: ERR_DB_AWAY, ERR_DB_TIMEOUT, ERR_SCHEMA_MISMATCH, ERR_EXISTS, ERR_CONFLICT, ERR_DB.
 */
#define store_run(w, db, stmt, rows, ...)                                                          \
	store_db_run(w, db, stmt, rows, (const struct store_param[]){__VA_ARGS__},                 \
		sizeof((const struct store_param[]){__VA_ARGS__}) / sizeof(struct store_param))
#define store_run_plain(w, db, stmt, rows) store_db_run(w, db, stmt, rows, NULL, 0)
enum err store_db_run(struct work *w, struct store_db *db, enum stmt stmt, struct store_rows **rows,
	const struct store_param *params, size_t n) MUST_CHECK;

/*
 * Sends one statement ahead: it is under way, and the caller goes on. Whatever else is run on the
 * connection meanwhile waits for it first. Then store_db_fetch() once, which waits for its end, 10
 * seconds after it was sent at most, and returns as store_db_run(); nobody knows whether it was
 * committed when that is ERR_DB_AWAY or ERR_DB_TIMEOUT. Not in a transaction.
 */
enum err store_db_send(struct work *w, struct store_db *db, enum stmt stmt,
	const struct store_param *params, size_t n) MUST_CHECK;
enum err store_db_fetch(struct work *w, struct store_db *db, struct store_rows **rows) MUST_CHECK;

/* Whether store_db_fetch() has nothing to wait for; never waits. */
int store_db_has_landed(struct store_db *db);

/* What can be read when there is more of what was sent ahead; -1: nothing is under way. */
int store_db_fd(const struct store_db *db);

/* Runs one statement and hands over row after row as they arrive; rows holds one row and ends with
 * the call. */
typedef enum err store_row_fn(struct work *w, const struct store_rows *row, void *context);
enum err store_db_each(struct work *w, struct store_db *db, enum stmt stmt,
	const struct store_param *params, size_t n, store_row_fn *fn, void *context) MUST_CHECK;

/* Runs body in one transaction: committed when it returns ERR_OK, rolled back otherwise. */
typedef enum err store_body_fn(struct work *w, struct store_db *db, void *context);
enum err store_db_transaction(
	struct work *w, struct store_db *db, store_body_fn *body, void *context) MUST_CHECK;

/*
 * Listens to a channel, "vestal_token" or "vestal_renewal": notifications that arrive from now on
 * are not lost as long as this connection lives. Outside a transaction. Returns as store_db_run().
 */
enum err store_db_listen(struct work *w, struct store_db *db, const char *channel) MUST_CHECK;

/*
 * Waits until a notification arrives, wait_ms at most and never beyond the work's deadline, and
 * hands over the oldest; *payload NULL: none came in time. Returns: ERR_DB_AWAY when the connection
 * that listened is gone, and with it what it was told. Owns: the work.
 */
enum err store_db_wait(struct work *w, struct store_db *db, int64_t wait_ms, const char **channel,
	const char **payload) MUST_CHECK;

/* Listens to nothing any more, and forgets what has arrived. Harmless when nobody listens. */
enum err store_db_unlisten(struct work *w, struct store_db *db) MUST_CHECK;

/* Runs a whole script: of sql/schema or sql/views for a migration, or what no prepared statement
 * can say, as a constant. */
enum err store_db_script(struct work *w, struct store_db *db, const char *script) MUST_CHECK;

/* Connects for a migration: no statement is prepared, no version compared. */
enum err store_db_ready_bare(struct work *w, struct store_db *db) MUST_CHECK;

/* What a statement answered. A null is NULL, 0. Texts live as long as the rows. */
int store_count(const struct store_rows *rows);
int store_is_null(const struct store_rows *rows, int row, int column);
const char *store_get_text(const struct store_rows *rows, int row, int column);
int64_t store_get_int(const struct store_rows *rows, int row, int column);
int store_get_bool(const struct store_rows *rows, int row, int column);

/* A bytea; NULL when null. Owns: the work. */
unsigned char *store_get_bytes(
	struct work *w, const struct store_rows *rows, int row, int column, size_t *n);

#endif
