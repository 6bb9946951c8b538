/* Incidents: opened when a connection is in trouble, resolved when a proved token is stored, told
 * in the same commit. */
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

/* Resolves the open incident, if there is one, with its audit event and its message. Within a
 * transaction. */
enum err custody_trouble_resolve(struct work *w, struct store_db *db,
	const struct custody_trouble *trouble, int64_t generation) MUST_CHECK;

#endif
