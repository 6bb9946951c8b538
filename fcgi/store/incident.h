/* Incidents and what people have to be told of them. */
#ifndef VESTAL_STORE_INCIDENT_H
#define VESTAL_STORE_INCIDENT_H

#include "store/db.h"

/* Opens an incident, or joins the connection's open one. */
enum err store_incident_open(struct work *w, struct store_db *db, int64_t connection_id,
	const char *cause, const char *reason, int64_t *id, int *is_new) MUST_CHECK;

/* Resolves the connection's open incident; *id 0: there was none. *recovery_s: from its first
 * moment until now. */
enum err store_incident_resolve(struct work *w, struct store_db *db, int64_t connection_id,
	int64_t *id, int64_t *recovery_s) MUST_CHECK;

/* Puts a message into the outbox: once per incident and kind, however often it is asked for. */
enum err store_incident_tell(struct work *w, struct store_db *db, int64_t incident_id,
	int64_t connection_id, const char *kind, const char *payload_json) MUST_CHECK;

#endif
