/* Incidents: struct and row. */
#include "store/incident.h"

#include <inttypes.h>

enum err store_incident_open(struct work *w, struct store_db *db, int64_t connection_id,
	const char *cause, const char *reason, int64_t *id, int *is_new)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_INCIDENT_OPEN, &rows, store_int(connection_id),
		store_text(cause), store_text(w->origin.actor), store_text(reason));

	if (err)
		return err;
	*id = store_get_int(rows, 0, 0);
	*is_new = store_get_bool(rows, 0, 1);
	return ERR_OK;
}

enum err store_incident_resolve(struct work *w, struct store_db *db, int64_t connection_id,
	int64_t *id, int64_t *recovery_s)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_INCIDENT_RESOLVE, &rows, store_int(connection_id),
		store_text(w->origin.actor));

	if (err)
		return err;
	*id = store_count(rows) ? store_get_int(rows, 0, 0) : 0;
	*recovery_s = store_count(rows) ? store_get_int(rows, 0, 1) : 0;
	return ERR_OK;
}

enum err store_incident_tell(struct work *w, struct store_db *db, int64_t incident_id,
	int64_t connection_id, const char *kind, const char *payload_json)
{
	return store_run(w, db, STMT_OUTBOX_ADD, NULL,
		store_text(work_printf(w, "incident-%" PRId64 "-%s", incident_id, kind)),
		store_text(kind), store_int(incident_id), store_int(connection_id),
		store_text(payload_json));
}
