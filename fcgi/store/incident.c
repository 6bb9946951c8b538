/* Incidents: struct and row. */
#include "store/incident.h"

#include "store/connection.h"

#include <inttypes.h>

static enum err open_one(struct work *w, struct store_db *db, enum stmt stmt, int64_t object_id,
	const char *cause, const char *reason, int64_t *id, int *is_new)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, stmt, &rows, store_int(object_id), store_text(cause),
		store_text(w->origin.actor), store_text(reason));

	if (err)
		return err;
	*id = store_get_int(rows, 0, 0);
	*is_new = store_get_bool(rows, 0, 1);
	return ERR_OK;
}

enum err store_incident_open(struct work *w, struct store_db *db, int64_t connection_id,
	const char *cause, const char *reason, int64_t *id, int *is_new)
{
	return open_one(w, db, STMT_INCIDENT_OPEN, connection_id, cause, reason, id, is_new);
}

enum err store_incident_open_gate(struct work *w, struct store_db *db, int64_t gate_id,
	const char *cause, const char *reason, int64_t *id, int *is_new)
{
	return open_one(w, db, STMT_INCIDENT_OPEN_GATE, gate_id, cause, reason, id, is_new);
}

enum err store_incident_resolve(struct work *w, struct store_db *db, const int64_t *connection_ids,
	size_t n, struct store_resolved *resolved, size_t *count)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_INCIDENT_RESOLVE, &rows,
		store_text(store_id_array(w, connection_ids, n)), store_text(w->origin.actor));

	*count = 0;
	if (err)
		return err;
	if ((size_t)store_count(rows) > n)
		return work_cause(w, ERR_BUG, "more incidents than connections");
	for (int row = 0; row < store_count(rows); row++)
		resolved[(*count)++] = (struct store_resolved){store_get_int(rows, row, 0),
			store_get_int(rows, row, 1), store_get_int(rows, row, 2)};
	return ERR_OK;
}

static enum err end_one(struct work *w, struct store_db *db, enum stmt stmt, int64_t object_id,
	int64_t *id, int64_t *recovery_s)
{
	struct store_rows *rows = NULL;
	enum err err =
		store_run(w, db, stmt, &rows, store_int(object_id), store_text(w->origin.actor));

	if (err)
		return err;
	*id = store_count(rows) ? store_get_int(rows, 0, 0) : 0;
	*recovery_s = store_count(rows) ? store_get_int(rows, 0, 1) : 0;
	return ERR_OK;
}

enum err store_incident_close(struct work *w, struct store_db *db, int64_t connection_id,
	int64_t *id, int64_t *recovery_s)
{
	return end_one(w, db, STMT_INCIDENT_CLOSE, connection_id, id, recovery_s);
}

enum err store_incident_resolve_gate(
	struct work *w, struct store_db *db, int64_t gate_id, int64_t *id, int64_t *recovery_s)
{
	return end_one(w, db, STMT_INCIDENT_RESOLVE_GATE, gate_id, id, recovery_s);
}

enum err store_incident_tell(struct work *w, struct store_db *db, int64_t incident_id,
	int64_t connection_id, const char *kind, const char *payload_json)
{
	return store_run(w, db, STMT_OUTBOX_ADD, NULL,
		store_text(work_printf(w, "incident-%" PRId64 "-%s", incident_id, kind)),
		store_text(kind), store_int(incident_id),
		store_int_or_null(connection_id, connection_id == 0), store_text(payload_json));
}
