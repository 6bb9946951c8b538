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
#define NOTIFICATIONS_MAX 8

struct store_rows {
	const char *const *cells[ROWS_MAX];
	size_t columns;
	int count;
};

struct store_notification {
	const char *channel, *payload; /* channel NULL: handed over */
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
	const char *listens[2];
	struct store_notification notifications[NOTIFICATIONS_MAX]; /* in the order of arrival */
	size_t notification_count, waits;
	enum err listening;
	int is_sent;
	enum stmt ahead; /* what is sent ahead */
	void (*on_wait)(void *context);
	void *wait_context;
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
	assert_false(fake.is_sent);
	assert_true(!fake.listens[0] && !fake.listens[1]);
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

void fake_db_notify(const char *channel, const char *payload)
{
	assert_true(fake.notification_count < NOTIFICATIONS_MAX);
	fake.notifications[fake.notification_count++] = (struct store_notification){
		work_strdup(&fake.w, channel), work_strdup(&fake.w, payload)};
}

void fake_db_on_wait(void (*on_wait)(void *context), void *context)
{
	fake.on_wait = on_wait;
	fake.wait_context = context;
}

void fake_db_listening(enum err err)
{
	fake.listening = err;
}

size_t fake_db_waits(void)
{
	return fake.waits;
}

int fake_db_listens(const char *channel)
{
	return text_equal(fake.listens[0], channel) || text_equal(fake.listens[1], channel);
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

const char *store_db_program(const struct store_db *db)
{
	return db->role == STORE_REFRESHER  ? "vestal-refresh"
	       : db->role == STORE_OPERATOR ? "vestalctl"
					    : "vestal-fcgi";
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

/* What it answers and how it fails is looked up when it is fetched. */
enum err store_db_send(struct work *w, struct store_db *db, enum stmt stmt,
	const struct store_param *params, size_t n)
{
	enum err err = store_db_run(w, db, stmt, NULL, params, n);

	assert_false(db->in_transaction);
	assert_false(db->is_sent);
	db->ahead = stmt;
	db->is_sent = 1;
	(void)err;
	return ERR_OK;
}

int store_db_has_landed(struct store_db *db)
{
	(void)db;
	return 1;
}

int store_db_fd(const struct store_db *db)
{
	(void)db;
	return -1;
}

enum err store_db_fetch(struct work *w, struct store_db *db, struct store_rows **rows)
{
	(void)w;
	assert_true(db->is_sent);
	db->is_sent = 0;
	*rows = &fake.answers[db->ahead];
	return fake.faults[db->ahead];
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

enum err store_db_listen(struct work *w, struct store_db *db, const char *channel)
{
	(void)w;
	assert_false(db->in_transaction);
	if (fake.listening)
		return fake.listening;
	if (text_equal(channel, "vestal_token"))
		db->listens[0] = "vestal_token";
	else if (text_equal(channel, "vestal_renewal"))
		db->listens[1] = "vestal_renewal";
	else
		fail_msg("%s is no channel", channel);
	return ERR_OK;
}

/* Nobody sleeps: the time that would have gone by is taken from the work's. */
enum err store_db_wait(struct work *w, struct store_db *db, int64_t wait_ms, const char **channel,
	const char **payload)
{
	struct store_notification *next = db->notifications;

	*channel = *payload = NULL;
	if (!db->listens[0] && !db->listens[1])
		fail_msg("nobody listens");
	db->waits++;
	if (db->on_wait)
		db->on_wait(db->wait_context);
	if (db->listening) {
		db->listens[0] = db->listens[1] = NULL;
		return db->listening;
	}
	while (next < db->notifications + db->notification_count && !fake_db_listens(next->channel))
		next++;
	if (next == db->notifications + db->notification_count) {
		w->deadline_ms -= wait_ms;
		return ERR_OK;
	}
	*channel = work_strdup(w, next->channel);
	*payload = work_strdup(w, next->payload);
	next->channel = NULL;
	return ERR_OK;
}

enum err store_db_unlisten(struct work *w, struct store_db *db)
{
	(void)w;
	db->listens[0] = db->listens[1] = NULL;
	return ERR_OK;
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
