/*
 * A database that plays a script, in place of store/db.c: answers are laid down per statement, and
 * every statement that is run is kept with its parameters and with what became of its transaction.
 * A statement without a script answers no rows. One that the role may not run, or with a wrong
 * number of parameters, fails the test.
 */
#ifndef VESTAL_TESTS_UNIT_SUPPORT_FAKE_DB_H
#define VESTAL_TESTS_UNIT_SUPPORT_FAKE_DB_H

#include "store/db.h"

#define FAKE_DB_PARAMS_MAX 24

enum fake_db_fate { FAKE_DB_PLAIN, FAKE_DB_OPEN, FAKE_DB_COMMITTED, FAKE_DB_ROLLED_BACK };

struct fake_db_value {
	const char *text; /* bytes, when it is binary; NULL: null */
	size_t n;
	int binary;
};

struct fake_db_call {
	enum stmt stmt;
	enum fake_db_fate fate;
	struct fake_db_value params[FAKE_DB_PARAMS_MAX];
	size_t n;
};

/* Begins a new script for a program of that role. Owns: fake_db_end(). */
struct store_db *fake_db_begin(enum store_role role);
void fake_db_end(void);

/* Another role from here on. */
void fake_db_role(enum store_role role);

/* Adds a row to what the statement answers, n texts as PostgreSQL prints them; NULL: null. */
#define FAKE_DB_ROW(stmt, ...)                                                                     \
	fake_db_row(stmt, (const char *const[]){__VA_ARGS__},                                      \
		sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))
void fake_db_row(enum stmt stmt, const char *const *texts, size_t n);

/* Forgets which statements were run; what they answer stays. */
void fake_db_forget(void);

/* Forgets the rows laid down for a statement. */
void fake_db_no_rows(enum stmt stmt);

/* The statement fails with this error from now on; ERR_OK: no more. */
void fake_db_fail(enum stmt stmt, enum err err);

/* What store_db_ready() answers. */
void fake_db_ready(enum err err);

/* A notification that arrives as soon as somebody who listens to its channel waits; in this order.
 */
void fake_db_notify(const char *channel, const char *payload);

/* Called at every wait, before it is answered: where what others did meanwhile is laid down. */
void fake_db_on_wait(void (*on_wait)(void *context), void *context);

/* What listening and waiting answer from now on; ERR_OK: as they should. */
void fake_db_listening(enum err err);

/* How often somebody waited, and whether somebody listens to a channel now. Nobody may at the end
 * of a test. A wait without a notification takes its time from the work's, and no time from the
 * test's. */
size_t fake_db_waits(void);
int fake_db_listens(const char *channel);

/* How often a statement was run, and all of them; calls are counted from 0. */
size_t fake_db_count(enum stmt stmt);
size_t fake_db_total(void);
const struct fake_db_call *fake_db_call(enum stmt stmt, size_t which);

/* A parameter's text, counted from 1 as in the statement; the call must be there. */
const char *fake_db_param(enum stmt stmt, size_t which, size_t param);

/* Bytes as a bytea is printed. Owns: the fake. */
const char *fake_db_bytea(const void *bytes, size_t n);

#endif
