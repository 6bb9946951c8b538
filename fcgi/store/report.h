/* Health reports, as the view vestal.connection_report judges them. */
#ifndef VESTAL_STORE_REPORT_H
#define VESTAL_STORE_REPORT_H

#include "store/db.h"
#include "store/scope.h"

/* Numbers are PostgreSQL's own decimal texts; anything may be NULL but client, provider, status,
 * cause, action, owner. */
struct store_report {
	const char *client, *provider, *status, *cause, *action, *owner;
	const char *expires_at, *last_refreshed_at, *last_proved_at, *next_refresh_at,
		*refresh_expires_at;
	const char *failures, *last_error_code, *last_error_at, *generation, *datacenter;
	int passive;
	const char *copy_generation, *environment_generation;
};

struct store_report_query {
	struct store_scope scope;
	const char *const *statuses; /* NULL: all */
	size_t status_count;
	const char *after_client, *after_provider; /* NULL: from the first */
	int64_t limit;                             /* 0: all */
};

/* The size of the filtered set, and how many of it are not healthy; after and limit do not count.
 */
enum err store_report_count(struct work *w, struct store_db *db,
	const struct store_report_query *query, int64_t *total, int64_t *unhealthy) MUST_CHECK;

/* Hands over report after report in order of client and provider, in constant memory: page after
 * page of the database, each as it is when it is read. */
typedef enum err store_report_fn(struct work *w, const struct store_report *report, void *context);
enum err store_report_each(struct work *w, struct store_db *db,
	const struct store_report_query *query, store_report_fn *fn, void *context) MUST_CHECK;

/* The same of those with these ids. */
enum err store_report_some(struct work *w, struct store_db *db, const int64_t *ids, size_t n,
	store_report_fn *fn, void *context) MUST_CHECK;

/* The status and cause of one connection. Returns: ERR_CONNECTION_UNKNOWN. */
enum err store_report_one(struct work *w, struct store_db *db, int64_t connection_id,
	const char **status, const char **cause) MUST_CHECK;

/* Connections that only a person can mend, and what has to be done with them. */
struct store_need {
	int64_t total, reauthorize, fix_app, investigate;
};

/* client, provider: NULL, all of them. */
enum err store_report_need_person(struct work *w, struct store_db *db, const char *client,
	const char *provider, struct store_need *need) MUST_CHECK;

/* A connection that only a new authorization mends. */
struct store_needed {
	const char *client, *provider;
};

/* All of them, in order. Owns: the work. */
enum err store_report_need_link(
	struct work *w, struct store_db *db, struct store_needed **needed, size_t *n) MUST_CHECK;

#endif
