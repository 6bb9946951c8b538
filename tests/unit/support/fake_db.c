/* The database that plays a script. */
#include "fake_db.h"

#include "base/text.h"
#include "store/stmt.h"
#include "unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_MAX 64
#define ROWS_MAX 8

struct store_rows {
	const char *const *cells[ROWS_MAX];
	size_t columns;
	int count;
};

struct store_db {
	struct work w; /* owns everything here */
	enum store_role role;
	enum err ready;
	struct store_rows answers[STMT_COUNT];
	enum err faults[STMT_COUNT];
	struct fake_db_call calls[CALLS_MAX];
	size_t count, began_at;
	int in_transaction;
};

static struct store_db fake;

/* --- the script ------------------------------------------------------------------------------- */

struct store_db *fake_db_begin(enum store_role role)
{
	memset(&fake, 0, sizeof(fake));
	work_begin(&fake.w, 60000);
	fake.role = role;
	return &fake;
}

void fake_db_end(void)
{
	assert_false(fake.in_transaction);
	work_end(&fake.w);
}

void fake_db_role(enum store_role role)
{
	fake.role = role;
}

void fake_db_row(enum stmt stmt, const char *const *texts, size_t n)
{
	struct store_rows *rows = &fake.answers[stmt];
	const char **cells = work_alloc(&fake.w, n * sizeof(*cells));

	assert_true(rows->count < ROWS_MAX);
	for (size_t i = 0; i < n; i++)
		cells[i] = work_strdup(&fake.w, texts[i]);
	rows->columns = n;
	rows->cells[rows->count++] = cells;
}

void fake_db_forget(void)
{
	fake.count = 0;
}

void fake_db_no_rows(enum stmt stmt)
{
	fake.answers[stmt].count = 0;
}

void fake_db_fail(enum stmt stmt, enum err err)
{
	fake.faults[stmt] = err;
}

void fake_db_ready(enum err err)
{
	fake.ready = err;
}

size_t fake_db_count(enum stmt stmt)
{
	size_t count = 0;

	for (size_t i = 0; i < fake.count; i++)
		count += fake.calls[i].stmt == stmt;
	return count;
}

size_t fake_db_total(void)
{
	return fake.count;
}

const struct fake_db_call *fake_db_call(enum stmt stmt, size_t which)
{
	for (size_t i = 0; i < fake.count; i++)
		if (fake.calls[i].stmt == stmt && which-- == 0)
			return &fake.calls[i];
	fail_msg("%s was not run so often", store_stmts[stmt].name);
	return NULL;
}

const char *fake_db_param(enum stmt stmt, size_t which, size_t param)
{
	const struct fake_db_call *call = fake_db_call(stmt, which);

	assert_true(param >= 1 && param <= call->n);
	return call->params[param - 1].text;
}

const char *fake_db_bytea(const void *bytes, size_t n)
{
	return work_printf(&fake.w, "\\x%s", text_hex(&fake.w, bytes, n));
}

/* --- store/db.h ------------------------------------------------------------------------------- */

struct store_param store_text(const char *value)
{
	return (struct store_param){.value = value, .bytes = -1};
}

struct store_param store_null(void)
{
	return store_text(NULL);
}

struct store_param store_int(int64_t value)
{
	struct store_param param = {.value = "", .bytes = -1};

	snprintf(param.digits, sizeof(param.digits), "%" PRId64, value);
	return param;
}

struct store_param store_int_or_null(int64_t value, int is_null)
{
	return is_null ? store_null() : store_int(value);
}

struct store_param store_bool(int value)
{
	return store_text(value ? "t" : "f");
}

struct store_param store_bytes(const void *bytes, size_t n)
{
	return (struct store_param){.value = bytes, .bytes = (int)n};
}

enum err store_db_new(
	struct work *w, const struct conf *conf, enum store_role role, struct store_db **db)
{
	(void)w;
	(void)conf;
	*db = fake_db_begin(role);
	return ERR_OK;
}

void store_db_free(struct store_db *db)
{
	(void)db;
}

enum err store_db_ready(struct work *w, struct store_db *db)
{
	(void)w;
	return db->ready;
}

enum err store_db_ready_bare(struct work *w, struct store_db *db)
{
	return store_db_ready(w, db);
}

enum err store_db_check(struct work *w, struct store_db *db)
{
	return store_db_ready(w, db);
}

static struct fake_db_value keep(const struct store_param *param)
{
	if (param->digits[0])
		return (struct fake_db_value){
			work_strdup(&fake.w, param->digits), strlen(param->digits), 0};
	if (param->bytes >= 0)
		return (struct fake_db_value){
			arena_strndup(&fake.w.arena, param->value, (size_t)param->bytes),
			(size_t)param->bytes, 1};
	return (struct fake_db_value){
		work_strdup(&fake.w, param->value), param->value ? strlen(param->value) : 0, 0};
}

enum err store_db_run(struct work *w, struct store_db *db, enum stmt stmt, struct store_rows **rows,
	const struct store_param *params, size_t n)
{
	struct fake_db_call *call = &fake.calls[fake.count];

	(void)w;
	if (db != &fake || fake.count == CALLS_MAX)
		fail_msg("%s has no database", store_stmts[stmt].name);
	if ((int)n != store_stmts[stmt].params)
		fail_msg(
			"%s takes %d parameters", store_stmts[stmt].name, store_stmts[stmt].params);
	if (!(store_stmts[stmt].roles & 1U << fake.role))
		fail_msg("%s is not for this role", store_stmts[stmt].name);
	*call = (struct fake_db_call){
		stmt, fake.in_transaction ? FAKE_DB_OPEN : FAKE_DB_PLAIN, .n = n};
	for (size_t i = 0; i < n; i++)
		call->params[i] = keep(&params[i]);
	fake.count++;
	if (!fake.faults[stmt] && rows)
		*rows = &fake.answers[stmt];
	return fake.faults[stmt];
}

enum err store_db_each(struct work *w, struct store_db *db, enum stmt stmt,
	const struct store_param *params, size_t n, store_row_fn *fn, void *context)
{
	struct store_rows *rows = NULL;
	enum err err = store_db_run(w, db, stmt, &rows, params, n);

	for (int i = 0; !err && i < rows->count; i++) {
		struct store_rows row = {.columns = rows->columns, .count = 1};

		row.cells[0] = rows->cells[i];
		err = fn(w, &row, context);
	}
	return err;
}

enum err store_db_transaction(
	struct work *w, struct store_db *db, store_body_fn *body, void *context)
{
	enum err err;

	assert_false(db->in_transaction);
	db->in_transaction = 1;
	db->began_at = db->count;
	err = body(w, db, context);
	for (size_t i = db->began_at; i < db->count; i++)
		db->calls[i].fate = err ? FAKE_DB_ROLLED_BACK : FAKE_DB_COMMITTED;
	db->in_transaction = 0;
	return err;
}

enum err store_db_script(struct work *w, struct store_db *db, const char *script)
{
	(void)w;
	(void)db;
	fail_msg("a script is run: %s", script);
	return ERR_BUG;
}

int store_count(const struct store_rows *rows)
{
	return rows->count;
}

static const char *cell(const struct store_rows *rows, int row, int column)
{
	if (row >= rows->count || (size_t)column >= rows->columns)
		fail_msg("row %d, column %d was not laid down", row, column);
	return rows->cells[row][column];
}

int store_is_null(const struct store_rows *rows, int row, int column)
{
	return !cell(rows, row, column);
}

const char *store_get_text(const struct store_rows *rows, int row, int column)
{
	return cell(rows, row, column);
}

int64_t store_get_int(const struct store_rows *rows, int row, int column)
{
	const char *text = cell(rows, row, column);

	return text ? strtoll(text, NULL, 10) : 0;
}

int store_get_bool(const struct store_rows *rows, int row, int column)
{
	return text_equal(cell(rows, row, column), "t");
}

unsigned char *store_get_bytes(
	struct work *w, const struct store_rows *rows, int row, int column, size_t *n)
{
	const char *text = cell(rows, row, column);

	*n = 0;
	return text && text_starts(text, "\\x") ? text_unhex(w, text + 2, n) : NULL;
}
