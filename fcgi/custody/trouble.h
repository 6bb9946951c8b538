/* Incidents: opened when a connection, or a gate before many, is in trouble; resolved when it is
 * over; told in the same commit. */
#ifndef VESTAL_CUSTODY_TROUBLE_H
#define VESTAL_CUSTODY_TROUBLE_H

#include "custody/custody.h"

struct custody_trouble {
	int64_t connection_id;
	const char *client, *provider;
	const char *cause; /* NULL: the connection's own */
	const char *reason;
};

/* Opens an incident or joins the open one, with its audit event and its message. Within a
 * transaction. */
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

/* Resolves the open incident, if there is one, with its audit event and its message. Within a
 * transaction. */
enum err custody_trouble_resolve_gate(
	struct work *w, struct store_db *db, const struct custody_gate_trouble *trouble) MUST_CHECK;

#endif
