/*
 * libpq's only door, with role.c and rows.c. It decides how long to wait, when to connect again,
 * and which error an SQLSTATE is; it does not know what any statement is for. Every wait has the
 * work's deadline, so a database that hangs costs one request.
 */
#include "store/db.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "store/role.h"
#include "store/sqlstate.h"
#include "store/stmt.h"

#include <errno.h>
#include <limits.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define PARAMS_MAX 24
#define ANSWER_MS 10000
#define RETRY_AFTER_S 5

struct store_db {
	PGconn *connection;
	char *conninfo;
	enum store_role role;
	int64_t retry_at_ms; /* no connect before this moment */
	int prepared, listening;
	int was_noticed;  /* the server spoke unasked, and not of a notification */
	PGresult **into;  /* where what is under way leaves its result; NULL: nothing is */
	PGresult *landed; /* of what was sent ahead, until it is fetched */
	enum stmt ahead;
	int64_t landing_by_ms;
};

/* --- errors ---------------------------------------------------------------------------------- */

static void disconnect(struct store_db *db)
{
	PQfinish(db->connection);
	db->connection = NULL;
	db->prepared = db->listening = 0;
	if (!db->into)
		return;
	PQclear(*db->into);
	*db->into = NULL;
	db->into = NULL;
}

static enum err away(struct work *w, struct store_db *db, enum err err, const char *cause)
{
	disconnect(db);
	w->retry_after_s = RETRY_AFTER_S;
	return work_cause(w, err, "%s", cause);
}

static enum err fault_of(struct work *w, struct store_db *db, const PGresult *result)
{
	const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	enum err err = state ? store_sqlstate_err(state) : ERR_DB_AWAY;

	work_cause(w, err, "sqlstate %s", state ? state : "none");
	if (err == ERR_DB_AWAY || PQstatus(db->connection) == CONNECTION_BAD)
		return away(w, db, ERR_DB_AWAY, "connection lost");
	if (err == ERR_SCHEMA_MISMATCH) /* the next connect compares versions and prepares anew */
		return away(w, db, err, "schema changed");
	if (err == ERR_DB_TIMEOUT)
		w->retry_after_s = RETRY_AFTER_S;
	return err;
}

/* --- waiting --------------------------------------------------------------------------------- */

static int poll_ms(const struct store_db *db, short events, int64_t left_ms)
{
	struct pollfd fd = {.fd = PQsocket(db->connection), .events = events};
	int ready;

	do
		ready = poll(&fd, 1, left_ms < INT_MAX ? (int)left_ms : INT_MAX);
	while (ready < 0 && errno == EINTR);
	return ready > 0;
}

/* No single wait outlasts this, so that a database that hangs does not use up what providers are
 * given. */
static int wait_for(struct work *w, const struct store_db *db, short events)
{
	int64_t left_ms = work_left_ms(w);

	if (db->role < STORE_OPERATOR && left_ms > ANSWER_MS)
		left_ms = ANSWER_MS;
	return poll_ms(db, events, left_ms);
}

static enum err flush(struct work *w, struct store_db *db)
{
	int pending;

	while ((pending = PQflush(db->connection)) > 0) {
		if (!wait_for(w, db, POLLIN | POLLOUT))
			return away(w, db, ERR_DB_TIMEOUT, "no answer in time");
		if (!PQconsumeInput(db->connection))
			break;
	}
	return pending < 0 ? fault_of(w, db, NULL) : ERR_OK;
}

/* The next result, NULL after the last. */
static enum err next_result(struct work *w, struct store_db *db, PGresult **result)
{
	while (PQisBusy(db->connection)) {
		if (!wait_for(w, db, POLLIN))
			return away(w, db, ERR_DB_TIMEOUT, "no answer in time");
		if (!PQconsumeInput(db->connection))
			return fault_of(w, db, NULL);
	}
	*result = PQgetResult(db->connection);
	return ERR_OK;
}

static int is_good(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK ||
	       status == PGRES_SINGLE_TUPLE;
}

/*
 * Takes in a result of what was sent, the first fault among them. Rows arrive before the commit
 * does: only the end of the last result says that the statement is durable, so nothing is handed
 * out before.
 */
static void keep(struct store_db *db, PGresult *result)
{
	if (!result)
		db->into = NULL;
	else if (*db->into && !is_good(*db->into))
		PQclear(result);
	else {
		PQclear(*db->into);
		*db->into = result;
	}
}

/* Whoever needs the connection waits for what is under way on it. */
static enum err make_way(struct work *w, struct store_db *db)
{
	PGresult *result = NULL;
	enum err err = ERR_OK;

	while (!err && db->into) {
		err = next_result(w, db, &result);
		if (!err)
			keep(db, result);
	}
	return err;
}

/* Hands *result on, unless it is a fault. */
static enum err judge(struct work *w, struct store_db *db, PGresult **result)
{
	enum err err = ERR_OK;

	if (!*result || is_good(*result))
		return ERR_OK;
	err = fault_of(w, db, *result);
	PQclear(*result);
	*result = NULL;
	return err;
}

/* --- connecting ------------------------------------------------------------------------------ */

static void note(
	const struct store_db *db, enum log_level level, const char *event, const char *why)
{
	log_event(level, event, LOG_TEXT("role", store_role_user(db->role)), LOG_TEXT("why", why));
}

enum err store_db_new(
	struct work *w, const struct conf *conf, enum store_role role, struct store_db **db)
{
	enum err err = store_role_check_conninfo(w, conf);

	*db = err ? NULL : calloc(1, sizeof(**db));
	if (err)
		return err;
	if (!*db)
		return ERR_NO_MEMORY;
	(*db)->role = role;
	(*db)->conninfo = strdup(conf_text(conf, CONF_database));
	if ((*db)->conninfo)
		return ERR_OK;
	store_db_free(*db);
	return ERR_NO_MEMORY;
}

void store_db_free(struct store_db *db)
{
	if (!db)
		return;
	disconnect(db);
	PQclear(db->landed);
	free(db->conninfo);
	free(db);
}

const char *store_db_program(const struct store_db *db)
{
	return store_role_program(db->role);
}

/* Instead of libpq's own, which prints to standard error. */
static void on_notice(void *handle, const PGresult *notice)
{
	struct store_db *db = handle;

	(void)notice;
	db->was_noticed = 1;
}

static enum err connect_now(struct work *w, struct store_db *db)
{
	db->connection = store_role_connect(db->role, db->conninfo);
	if (!db->connection || PQstatus(db->connection) != CONNECTION_OK)
		return away(w, db, ERR_DB_AWAY, "connect failed");
	PQsetnonblocking(db->connection, 1);
	PQsetNoticeReceiver(db->connection, on_notice, db);
	db->was_noticed = 0;
	return ERR_OK;
}

/* Takes in what came unasked. Returns 0 when the connection is lost, or about to be. */
static int take_in(struct store_db *db)
{
	return PQconsumeInput(db->connection) && !PQisBusy(db->connection) && !db->was_noticed &&
	       PQstatus(db->connection) == CONNECTION_OK;
}

/* Notices a connection that the server closed while nobody looked, before a request is spent on it.
 */
static int is_alive(struct store_db *db)
{
	if (!db->connection || PQstatus(db->connection) != CONNECTION_OK ||
		PQtransactionStatus(db->connection) != PQTRANS_IDLE)
		return 0;
	/* What comes unasked is the server's last words, whose end may take a moment longer, or a
	 * changed setting: a new connection is right for both. Only who listens expects more. */
	return db->listening ? take_in(db) : !poll_ms(db, POLLIN, 0);
}

static enum err finish_sent(struct work *w, struct store_db *db, PGresult **last)
{
	PGresult *result = NULL;
	enum err err;

	db->into = &result;
	err = flush(w, db);
	if (!err)
		err = make_way(w, db);
	if (!err)
		err = judge(w, db, &result);
	if (last)
		*last = result;
	else
		PQclear(result);
	return err;
}

static enum err prepare_all(struct work *w, struct store_db *db)
{
	enum err err = ERR_OK;

	for (int i = 0; !err && i < STMT_COUNT; i++) {
		if (!(store_stmts[i].roles & 1U << db->role) ||
			store_stmts[i].roles & 1U << STORE_OWNER)
			continue;
		err = PQsendPrepare(
			      db->connection, store_stmts[i].name, store_stmts[i].sql, 0, NULL)
			      ? finish_sent(w, db, NULL)
			      : fault_of(w, db, NULL);
		if (err)
			log_event(LOG_ERROR, "database.prepare_failed",
				LOG_TEXT("statement", store_stmts[i].name),
				LOG_TEXT("why", w->cause));
	}
	return err;
}

static enum err check_version(struct work *w, struct store_db *db)
{
	struct store_rows *rows = NULL;
	enum err err = store_run_plain(w, db, STMT_SCHEMA_LATEST, &rows);

	if (err)
		return err;
	return store_get_int(rows, 0, 0) == STORE_SCHEMA_VERSION ? ERR_OK : ERR_SCHEMA_MISMATCH;
}

/* After a failure nobody tries again for as long as it took: a host that hangs costs half of the
 * time, not all of it. */
static enum err connect_again(struct work *w, struct store_db *db)
{
	int64_t began_ms = clock_monotonic_ms();
	enum err err;

	if (began_ms < db->retry_at_ms)
		return away(w, db, ERR_DB_AWAY, "connect failed a moment ago");
	disconnect(db);
	err = connect_now(w, db);
	if (err) {
		db->retry_at_ms = 2 * clock_monotonic_ms() - began_ms;
		note(db, LOG_WARN, "database.away", w->cause);
	} else
		note(db, LOG_INFO, "database.connected", NULL);
	return err;
}

enum err store_db_ready_bare(struct work *w, struct store_db *db)
{
	if (make_way(w, db)) /* whoever sent it hears of it */
		work_forgive(w);
	return is_alive(db) ? ERR_OK : connect_again(w, db);
}

enum err store_db_check(struct work *w, struct store_db *db)
{
	enum err err = store_db_ready(w, db);

	if (!err)
		err = check_version(w, db);
	return err == ERR_SCHEMA_MISMATCH ? away(w, db, err, "another schema version") : err;
}

enum err store_db_ready(struct work *w, struct store_db *db)
{
	enum err err = store_db_ready_bare(w, db);

	if (err || db->prepared)
		return err;
	err = check_version(w, db);
	if (!err)
		err = prepare_all(w, db);
	if (err == ERR_OK)
		db->prepared = 1;
	else if (err == ERR_DB || err == ERR_SCHEMA_MISMATCH)
		err = away(w, db, ERR_SCHEMA_MISMATCH, "another schema version");
	return err;
}

/* --- statements ------------------------------------------------------------------------------ */

static void release(void *handle)
{
	PQclear(handle);
}

static enum err send(struct work *w, struct store_db *db, enum stmt stmt,
	const struct store_param *params, size_t n)
{
	const char *values[PARAMS_MAX];
	int lengths[PARAMS_MAX], formats[PARAMS_MAX], sent;
	enum err err = make_way(w, db);

	if (n > PARAMS_MAX || (int)n != store_stmts[stmt].params)
		return work_cause(w, ERR_BUG, "%s takes %d parameters", store_stmts[stmt].name,
			store_stmts[stmt].params);
	if (err)
		return err;
	if (!db->connection)
		return away(w, db, ERR_DB_AWAY, "not connected");
	for (size_t i = 0; i < n; i++) {
		values[i] = params[i].digits[0] ? params[i].digits : params[i].value;
		formats[i] = params[i].bytes >= 0;
		lengths[i] = formats[i] ? params[i].bytes : 0;
	}
	if (store_stmts[stmt].roles & 1U << STORE_OWNER)
		sent = PQsendQueryParams(db->connection, store_stmts[stmt].sql, (int)n, NULL,
			values, lengths, formats, 0);
	else
		sent = PQsendQueryPrepared(db->connection, store_stmts[stmt].name, (int)n, values,
			lengths, formats, 0);
	return sent ? ERR_OK : fault_of(w, db, NULL);
}

static enum err explain(enum stmt stmt, struct work *w, enum err err)
{
	if (err == ERR_DB || err == ERR_BUG)
		log_event(LOG_ERROR, "database.statement_failed",
			LOG_TEXT("statement", store_stmts[stmt].name), LOG_TEXT("why", w->cause));
	return err;
}

enum err store_db_run(struct work *w, struct store_db *db, enum stmt stmt, struct store_rows **rows,
	const struct store_param *params, size_t n)
{
	PGresult *last = NULL;
	enum err err = send(w, db, stmt, params, n);

	if (!err)
		err = finish_sent(w, db, &last);
	if (err)
		return explain(stmt, w, err);
	work_defer(w, release, last);
	if (rows)
		*rows = (struct store_rows *)last;
	return ERR_OK;
}

enum err store_db_send(struct work *w, struct store_db *db, enum stmt stmt,
	const struct store_param *params, size_t n)
{
	enum err err = send(w, db, stmt, params, n);

	PQclear(db->landed);
	db->landed = NULL;
	db->into = err ? NULL : &db->landed;
	db->ahead = stmt;
	db->landing_by_ms = clock_monotonic_ms() + ANSWER_MS;
	return explain(stmt, w, err ? err : flush(w, db));
}

int store_db_has_landed(struct store_db *db)
{
	if (db->into && !PQconsumeInput(db->connection)) /* what came before that is there */
		db->landing_by_ms = 0;
	while (db->into && !PQisBusy(db->connection))
		keep(db, PQgetResult(db->connection));
	return !db->into || clock_monotonic_ms() >= db->landing_by_ms;
}

int store_db_fd(const struct store_db *db)
{
	return db->into ? PQsocket(db->connection) : -1;
}

enum err store_db_fetch(struct work *w, struct store_db *db, struct store_rows **rows)
{
	PGresult *landed;
	enum err err;

	(void)store_db_has_landed(db); /* it may be here, and only nobody has looked */
	err = db->into && clock_monotonic_ms() >= db->landing_by_ms
		      ? away(w, db, ERR_DB_TIMEOUT, "no answer")
		      : make_way(w, db);
	landed = db->landed;
	db->landed = NULL;
	if (!err)
		err = landed ? judge(w, db, &landed)
			     : work_cause(w, ERR_DB_AWAY, "the connection was lost over it");
	if (err)
		return explain(db->ahead, w, err);
	work_defer(w, release, landed);
	*rows = (struct store_rows *)landed;
	return ERR_OK;
}

enum err store_db_each(struct work *w, struct store_db *db, enum stmt stmt,
	const struct store_param *params, size_t n, store_row_fn *fn, void *context)
{
	PGresult *result = NULL;
	enum err err = send(w, db, stmt, params, n), wait = ERR_OK;

	if (err)
		return explain(stmt, w, err);
	PQsetSingleRowMode(db->connection);
	err = flush(w, db);
	while (db->connection && !(wait = next_result(w, db, &result)) && result) {
		if (!err && !is_good(result))
			err = fault_of(w, db, result);
		else if (!err && PQntuples(result) == 1)
			err = fn(w, (const struct store_rows *)result, context);
		PQclear(result);
	}
	return explain(stmt, w, err ? err : wait);
}

static enum err run_text(struct work *w, struct store_db *db, const char *text, PGresult **last)
{
	enum err err = make_way(w, db);

	if (err)
		return err;
	if (!db->connection)
		return away(w, db, ERR_DB_AWAY, "not connected");
	return PQsendQuery(db->connection, text) ? finish_sent(w, db, last) : fault_of(w, db, NULL);
}

enum err store_db_script(struct work *w, struct store_db *db, const char *script)
{
	return run_text(w, db, script, NULL);
}

/* PostgreSQL answers the commit of a transaction that had failed with a rollback, and no error. */
static enum err commit(struct work *w, struct store_db *db)
{
	PGresult *last = NULL;
	enum err err = run_text(w, db, "commit", &last);

	if (!err && !text_equal(PQcmdStatus(last), "COMMIT"))
		err = work_cause(w, ERR_BUG, "a failed transaction was committed");
	PQclear(last);
	return err;
}

enum err store_db_transaction(
	struct work *w, struct store_db *db, store_body_fn *body, void *context)
{
	enum err err = store_db_script(w, db, "begin");

	if (err)
		return err;
	err = body(w, db, context);
	if (!err)
		return commit(w, db);
	if (db->connection && store_db_script(w, db, "rollback"))
		return ERR_DB_AWAY;
	return err;
}

/* --- notifications ---------------------------------------------------------------------------- */

static const struct {
	const char *channel, *listen;
} channels[] = {
	{"vestal_token", "listen vestal_token"},
	{"vestal_renewal", "listen vestal_renewal"},
};

enum err store_db_listen(struct work *w, struct store_db *db, const char *channel)
{
	enum err err = ERR_BUG;

	for (size_t i = 0; i < sizeof(channels) / sizeof(*channels); i++)
		if (text_equal(channel, channels[i].channel))
			err = store_db_script(w, db, channels[i].listen);
	if (!err)
		db->listening = 1;
	return err;
}

/* The oldest notification, NULL when there is none. Returns 0 when there will be none any more. */
static int next_notify(struct store_db *db, PGnotify **notify)
{
	int is_alive_yet;

	*notify = PQnotifies(db->connection);
	if (*notify)
		return 1;
	is_alive_yet = take_in(db);
	*notify = PQnotifies(db->connection);
	return is_alive_yet || *notify;
}

enum err store_db_wait(struct work *w, struct store_db *db, int64_t wait_ms, const char **channel,
	const char **payload)
{
	int64_t end_ms = clock_monotonic_ms() + wait_ms, left_ms;
	PGnotify *notify = NULL;

	*channel = *payload = NULL;
	if (end_ms > w->deadline_ms)
		end_ms = w->deadline_ms;
	if (!db->listening)
		return work_cause(w, ERR_DB_AWAY, "the connection that listened is gone");
	for (;;) {
		if (!next_notify(db, &notify))
			return away(w, db, ERR_DB_AWAY, "connection lost");
		if (notify)
			break;
		left_ms = end_ms - clock_monotonic_ms();
		if (!poll_ms(db, POLLIN, left_ms > 0 ? left_ms : 0))
			return ERR_OK;
	}
	*channel = work_strdup(w, notify->relname);
	*payload = work_strdup(w, notify->extra);
	PQfreemem(notify);
	return ERR_OK;
}

enum err store_db_unlisten(struct work *w, struct store_db *db)
{
	PGnotify *notify = NULL;
	enum err err;

	if (!db->listening)
		return ERR_OK;
	err = store_db_script(w, db, "unlisten *");
	while (!err && (notify = PQnotifies(db->connection)))
		PQfreemem(notify);
	if (!err)
		db->listening = 0;
	return err;
}
