/* Incidents: struct and row. */
#include "store/incident.h"

#include "store/connection.h"

#include <inttypes.h>

enum err store_incident_open(struct work *w, struct store_db *db, int64_t connection_id,
	const char *cause, const char *reason, int is_suspicion, struct store_opened *opened)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_INCIDENT_OPEN, &rows, store_int(connection_id),
		store_text(cause), store_text(w->origin.actor), store_text(reason),
		store_bool(is_suspicion), store_int(STORE_INCIDENT_QUIET_S));

	*opened = (struct store_opened){0};
	if (err || !store_count(rows))
		return err;
	*opened = (struct store_opened){store_get_int(rows, 0, 0), store_get_bool(rows, 0, 1),
		store_get_bool(rows, 0, 3), store_get_int(rows, 0, 2)};
	return ERR_OK;
}

enum err store_incident_open_gate(struct work *w, struct store_db *db, int64_t gate_id,
	const char *cause, const char *reason, struct store_opened *opened)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_INCIDENT_OPEN_GATE, &rows, store_int(gate_id),
		store_text(cause), store_text(w->origin.actor), store_text(reason),
		store_int(STORE_INCIDENT_QUIET_S));

	*opened = (struct store_opened){0};
	if (err)
		return err;
	*opened = (struct store_opened){store_get_int(rows, 0, 0), store_get_bool(rows, 0, 1), 0,
		store_get_int(rows, 0, 2)};
	return ERR_OK;
}

enum err store_incident_siblings(struct work *w, struct store_db *db, int64_t incident_id,
	int64_t window_s, struct store_siblings *siblings)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(
		w, db, STMT_INCIDENT_SIBLINGS, &rows, store_int(incident_id), store_int(window_s));

	*siblings = (struct store_siblings){0};
	if (err || !store_count(rows))
		return err;
	*siblings = (struct store_siblings){store_get_int(rows, 0, 0), store_get_int(rows, 0, 1),
		store_get_text(rows, 0, 2), store_get_int(rows, 0, 3)};
	return ERR_OK;
}

enum err store_incident_adopt(struct work *w, struct store_db *db, int64_t parent_id,
	int64_t incident_id, int64_t window_s)
{
	return store_run(w, db, STMT_INCIDENT_ADOPT, NULL, store_int(parent_id),
		store_int_or_null(incident_id, incident_id == 0), store_int(window_s));
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
			store_get_int(rows, row, 1), store_get_int(rows, row, 2),
			store_get_int(rows, row, 3), !store_is_null(rows, row, 4)};
	return ERR_OK;
}

static enum err end_one(struct work *w, struct store_db *db, enum stmt stmt, int64_t object_id,
	struct store_resolved *resolved)
{
	struct store_rows *rows = NULL;
	enum err err =
		store_run(w, db, stmt, &rows, store_int(object_id), store_text(w->origin.actor));

	*resolved = (struct store_resolved){0};
	if (err || !store_count(rows))
		return err;
	resolved->id = store_get_int(rows, 0, 0);
	resolved->recovery_s = store_get_int(rows, 0, 1);
	resolved->flaps = store_get_int(rows, 0, 2);
	return ERR_OK;
}

enum err store_incident_close(
	struct work *w, struct store_db *db, int64_t connection_id, struct store_resolved *resolved)
{
	return end_one(w, db, STMT_INCIDENT_CLOSE, connection_id, resolved);
}

enum err store_incident_resolve_gate(
	struct work *w, struct store_db *db, int64_t gate_id, struct store_resolved *resolved)
{
	return end_one(w, db, STMT_INCIDENT_RESOLVE_GATE, gate_id, resolved);
}

enum err store_incident_recovering(struct work *w, struct store_db *db,
	const int64_t *connection_ids, size_t n, struct store_resolved *recovering, size_t *count)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_INCIDENT_RECOVERING, &rows,
		store_text(store_id_array(w, connection_ids, n)));

	*count = 0;
	if (err)
		return err;
	if ((size_t)store_count(rows) > n)
		return work_cause(w, ERR_BUG, "more incidents than connections");
	for (int row = 0; row < store_count(rows); row++)
		recovering[(*count)++] = (struct store_resolved){
			store_get_int(rows, row, 0), store_get_int(rows, row, 1), 0, 0, 0};
	return ERR_OK;
}

enum err store_incident_tell(
	struct work *w, struct store_db *db, const struct store_message *message)
{
	const char *id =
		work_printf(w, "incident-%" PRId64 "-%s", message->incident_id, message->kind);

	if (message->flaps)
		id = work_printf(w, "%s-%" PRId64, id, message->flaps);
	return store_run(w, db, STMT_OUTBOX_ADD, NULL, store_text(id), store_text(message->kind),
		store_int(message->incident_id),
		store_int_or_null(message->connection_id, message->connection_id == 0),
		store_text(message->payload_json), store_int(message->hold_s));
}

/* --- looked at -------------------------------------------------------------------------------- */

static struct store_incident incident_of(const struct store_rows *rows, int row)
{
	return (struct store_incident){
		.id = store_get_text(rows, row, 0),
		.client = store_get_text(rows, row, 1),
		.provider = store_get_text(rows, row, 2),
		.datacenter = store_get_text(rows, row, 3),
		.app_id = store_get_text(rows, row, 4),
		.cause = store_get_text(rows, row, 5),
		.state = store_get_text(rows, row, 6),
		.reason = store_get_text(rows, row, 7),
		.opened_by = store_get_text(rows, row, 8),
		.impact_start = store_get_text(rows, row, 9),
		.detected_at = store_get_text(rows, row, 10),
		.opened_at = store_get_text(rows, row, 11),
		.acknowledged_at = store_get_text(rows, row, 12),
		.acknowledged_by = store_get_text(rows, row, 13),
		.note = store_get_text(rows, row, 14),
		.recovering_at = store_get_text(rows, row, 15),
		.resolved_at = store_get_text(rows, row, 16),
		.resolved_by = store_get_text(rows, row, 17),
		.parent_id = store_get_text(rows, row, 18),
		.children = store_get_text(rows, row, 19),
		.flaps = store_get_text(rows, row, 20),
		.detect_s = store_get_text(rows, row, 21),
		.acknowledge_s = store_get_text(rows, row, 22),
		.recover_s = store_get_text(rows, row, 23),
	};
}

enum err store_incident_list(struct work *w, struct store_db *db,
	const struct store_incident_query *query, struct store_incident **incidents, size_t *n)
{
	const struct store_scope *scope = &query->scope;
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_INCIDENT_LIST, &rows,
		store_text(store_scope_array(w, scope->clients, scope->client_count)),
		store_text(store_scope_array(w, scope->providers, scope->provider_count)),
		store_text(store_scope_array(w, query->states, query->state_count)),
		store_int_or_null(query->id, query->id == 0),
		store_int_or_null(query->after, query->after == 0), store_int(query->limit));

	if (err)
		return err;
	*n = (size_t)store_count(rows);
	*incidents = work_alloc(w, (*n + 1) * sizeof(**incidents));
	for (int i = 0; i < store_count(rows); i++)
		(*incidents)[i] = incident_of(rows, i);
	return ERR_OK;
}

enum err store_incident_one(struct work *w, struct store_db *db, const struct store_scope *scope,
	int64_t id, struct store_incident *incident)
{
	const struct store_incident_query query = {.scope = *scope, .id = id, .limit = 1};
	struct store_incident *found = NULL;
	size_t n = 0;
	enum err err = store_incident_list(w, db, &query, &found, &n);

	if (!err && !n)
		err = ERR_NOT_FOUND;
	if (!err)
		*incident = *found;
	return err;
}

enum err store_incident_timeline(struct work *w, struct store_db *db, int64_t id, int64_t limit,
	struct store_incident_event **events, size_t *n)
{
	struct store_rows *rows = NULL;
	enum err err =
		store_run(w, db, STMT_INCIDENT_TIMELINE, &rows, store_int(id), store_int(limit));

	if (err)
		return err;
	*n = (size_t)store_count(rows);
	*events = work_alloc(w, (*n + 1) * sizeof(**events));
	for (int i = 0; i < store_count(rows); i++)
		(*events)[i] = (struct store_incident_event){store_get_text(rows, i, 0),
			store_get_text(rows, i, 1), store_get_text(rows, i, 2),
			store_get_text(rows, i, 3), store_get_text(rows, i, 4),
			store_get_text(rows, i, 5)};
	return ERR_OK;
}

enum err store_incident_ack(
	struct work *w, struct store_db *db, int64_t id, const char *note, int *is_new)
{
	struct store_rows *rows = NULL;
	enum err err = store_run(w, db, STMT_INCIDENT_ACK, &rows, store_int(id),
		store_text(w->origin.actor), store_text(note));

	if (!err)
		*is_new = store_count(rows) == 1;
	return err;
}
