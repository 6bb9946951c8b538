/* Incidents: opened when a connection, or a gate before many, is in trouble; resolved when it is
 * over; told in the same commit. */
#ifndef VESTAL_CUSTODY_TROUBLE_H
#define VESTAL_CUSTODY_TROUBLE_H

#include "custody/custody.h"
#include "store/scope.h"

struct custody_trouble {
	int64_t connection_id;
	const char *client, *provider;
	const char *cause; /* NULL: the connection's own */
	const char *reason;
	int is_suspicion; /* it may pass; nobody is told before it is certain */
};

/* So many of one provider within so long a time have one incident that speaks for all. */
#define CUSTODY_TROUBLE_MANY 5
#define CUSTODY_TROUBLE_WINDOW_S 300

/*
 * Opens an incident, goes on with one that was over for a short while only, or joins the open one,
 * with its audit event and its message. Within a transaction. *incident_id 0: a suspicion that was
 * not worth keeping.
 */
enum err custody_trouble_open(struct work *w, struct store_db *db,
	const struct custody_trouble *trouble, int64_t *incident_id) MUST_CHECK;

/* A stored token does not open: marks the connection, with its incident and audit event, unless it
 * is marked already or holds another token by now. Within a transaction. */
enum err custody_trouble_unreadable(struct work *w, struct store_db *db, int64_t connection_id,
	const char *client, const char *provider, int64_t generation) MUST_CHECK;

/* A connection whose stores all hold this generation. */
struct custody_mended {
	int64_t connection_id, generation;
	const char *client, *provider, *cause;
};

/*
 * Resolves the open incidents of those that are healthy again, with their audit events and their
 * messages: a file that was written proves no grant. Under the connections' locks.
 */
enum err custody_trouble_resolve(struct work *w, struct store_db *db,
	const struct custody_mended *mended, size_t n) MUST_CHECK;

/*
 * Ends the open incident, if there is one, whatever became of the connection, because what it was
 * about is not there any more; *incident_id 0: there was none. Within a transaction.
 */
enum err custody_trouble_close(struct work *w, struct store_db *db,
	const struct custody_mended *mended, int64_t *incident_id) MUST_CHECK;

/* Notes of those that are healthy again, and whose incident waits for more than that, that they
 * recover. Under the connections' locks. */
enum err custody_trouble_recovering(struct work *w, struct store_db *db,
	const struct custody_mended *mended, size_t n) MUST_CHECK;

/* Trouble of a provider's data centre, or of an app's credentials, and so of everybody behind it.
 */
struct custody_gate_trouble {
	int64_t gate_id, app_id; /* app_id 0: the provider's own */
	const char *provider, *datacenter;
	const char *cause, *reason; /* reason may be NULL */
};

/* Opens an incident or joins the open one, with its audit event and its message. Within a
 * transaction. */
enum err custody_trouble_open_gate(struct work *w, struct store_db *db,
	const struct custody_gate_trouble *trouble, int64_t *incident_id) MUST_CHECK;

/* Resolves the open incident, if there is one and all it speaks for are over, with its audit event
 * and its message. Within a transaction. */
enum err custody_trouble_resolve_gate(
	struct work *w, struct store_db *db, const struct custody_gate_trouble *trouble) MUST_CHECK;

/* Resolves those of all gates that have no reason any more. Within a transaction. */
enum err custody_trouble_resolve_quiet(struct work *w, struct store_db *db) MUST_CHECK;

/* Somebody takes an incident on, with its audit event. note may be NULL. Taken on before, it stays
 * as it is. Returns: ERR_NOT_FOUND; ERR_CONFLICT, it is over. */
enum err custody_trouble_acknowledge(struct work *w, const struct custody *c,
	const struct store_scope *scope, int64_t incident_id, const char *note) MUST_CHECK;

#endif
