/* Incidents and what people have to be told of them. */
#ifndef VESTAL_STORE_INCIDENT_H
#define VESTAL_STORE_INCIDENT_H

#include "store/db.h"

/* Opens an incident, or joins the connection's open one. */
enum err store_incident_open(struct work *w, struct store_db *db, int64_t connection_id,
	const char *cause, const char *reason, int64_t *id, int *is_new) MUST_CHECK;

/* The same for a gate, and so for everything behind it. */
enum err store_incident_open_gate(struct work *w, struct store_db *db, int64_t gate_id,
	const char *cause, const char *reason, int64_t *id, int *is_new) MUST_CHECK;

struct store_resolved {
	int64_t connection_id, id;
	int64_t recovery_s; /* from its first moment until now */
};

/*
 * Resolves the open incidents of those of the connections that are healthy again (live, and nothing
 * the matter with them but a scope) or were taken away. resolved has room for n; *count: how many
 * there were.
 */
enum err store_incident_resolve(struct work *w, struct store_db *db, const int64_t *connection_ids,
	size_t n, struct store_resolved *resolved, size_t *count) MUST_CHECK;

/* Ends a connection's open incident whatever its state; *id 0: there was none. */
enum err store_incident_close(struct work *w, struct store_db *db, int64_t connection_id,
	int64_t *id, int64_t *recovery_s) MUST_CHECK;

/* Resolves a gate's open incident; *id 0: there was none. */
enum err store_incident_resolve_gate(struct work *w, struct store_db *db, int64_t gate_id,
	int64_t *id, int64_t *recovery_s) MUST_CHECK;

/* Puts a message into the outbox: once per incident and kind, however often it is asked for.
 * connection_id 0: it is not of one. */
enum err store_incident_tell(struct work *w, struct store_db *db, int64_t incident_id,
	int64_t connection_id, const char *kind, const char *payload_json) MUST_CHECK;

#endif
