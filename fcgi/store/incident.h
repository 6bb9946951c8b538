/* Incidents and what people have to be told of them. */
#ifndef VESTAL_STORE_INCIDENT_H
#define VESTAL_STORE_INCIDENT_H

#include "store/db.h"
#include "store/scope.h"

/* An incident is over for so long before the next trouble is another one. */
#define STORE_INCIDENT_QUIET_S 1800

/* What became of trouble. */
struct store_opened {
	int64_t id;       /* 0: a suspicion that is not kept */
	int is_opened;    /* now, or again; else it goes on */
	int is_suspected; /* now, and no more than that */
	int64_t flaps;    /* how often it was over and came back */
};

/*
 * Opens an incident, goes on with one that was over for a short while only, or joins the
 * connection's open one. is_suspicion: it is not certain yet.
 */
enum err store_incident_open(struct work *w, struct store_db *db, int64_t connection_id,
	const char *cause, const char *reason, int is_suspicion,
	struct store_opened *opened) MUST_CHECK;

/* The same for a gate, and so for everything behind it. */
enum err store_incident_open_gate(struct work *w, struct store_db *db, int64_t gate_id,
	const char *cause, const char *reason, struct store_opened *opened) MUST_CHECK;

/* Who speaks, or could speak, for an incident that opened. */
struct store_siblings {
	int64_t parent_id; /* 0: nobody yet */
	int64_t gate_id;   /* that could; 0: none */
	const char *datacenter;
	int64_t count; /* opened at the provider lately, this one included; 0: it stands alone */
};

enum err store_incident_siblings(struct work *w, struct store_db *db, int64_t incident_id,
	int64_t window_s, struct store_siblings *siblings) MUST_CHECK;

/* From now on parent speaks for the incident; 0: for all that opened at its provider lately. */
enum err store_incident_adopt(struct work *w, struct store_db *db, int64_t parent_id,
	int64_t incident_id, int64_t window_s) MUST_CHECK;

struct store_resolved {
	int64_t connection_id, id;
	int64_t recovery_s; /* from its first moment until now */
	int64_t flaps;
	int has_parent;
};

/*
 * Resolves the open incidents of those of the connections that are healthy again (live, and nothing
 * the matter with them but a scope) or were taken away. resolved has room for n; *count: how many
 * there were.
 */
enum err store_incident_resolve(struct work *w, struct store_db *db, const int64_t *connection_ids,
	size_t n, struct store_resolved *resolved, size_t *count) MUST_CHECK;

/* Ends a connection's open incident whatever its state; resolved->id 0: there was none. */
enum err store_incident_close(struct work *w, struct store_db *db, int64_t connection_id,
	struct store_resolved *resolved) MUST_CHECK;

/* Resolves a gate's open incident, once all it speaks for are resolved; resolved->id 0: there was
 * none. */
enum err store_incident_resolve_gate(struct work *w, struct store_db *db, int64_t gate_id,
	struct store_resolved *resolved) MUST_CHECK;

/* Marks those of the connections' incidents whose connection is healthy again, and which are not
 * over. As store_incident_resolve(), but only connection_id and id are answered. */
enum err store_incident_recovering(struct work *w, struct store_db *db,
	const int64_t *connection_ids, size_t n, struct store_resolved *recovering,
	size_t *count) MUST_CHECK;

/*
 * Puts a message into the outbox: once per incident, kind and flaps, however often it is asked for.
 * It is sent hold_s later. connection_id 0: it is not of one.
 */
struct store_message {
	int64_t incident_id, connection_id, flaps, hold_s;
	const char *kind, *payload_json;
};

enum err store_incident_tell(
	struct work *w, struct store_db *db, const struct store_message *message) MUST_CHECK;

/* Numbers are PostgreSQL's own decimal texts, which may be NULL like everything but id, provider,
 * cause, state, opened_by, detected_at, children, flaps, detect_s. */
struct store_incident {
	const char *id, *client, *provider, *datacenter, *app_id, *cause, *state, *reason,
		*opened_by;
	const char *impact_start, *detected_at, *opened_at, *acknowledged_at, *acknowledged_by,
		*note, *recovering_at, *resolved_at, *resolved_by;
	const char *parent_id, *children, *flaps, *detect_s, *acknowledge_s, *recover_s;
};

struct store_incident_query {
	struct store_scope scope;
	const char *const *states; /* NULL: all */
	size_t state_count;
	int64_t id;    /* 0: all */
	int64_t after; /* 0: from the newest */
	int64_t limit;
};

/* The newest first. Owns: the work. */
enum err store_incident_list(struct work *w, struct store_db *db,
	const struct store_incident_query *query, struct store_incident **incidents,
	size_t *n) MUST_CHECK;

/* One, if it lies in the scope. Returns: ERR_NOT_FOUND. Owns: the work. */
enum err store_incident_one(struct work *w, struct store_db *db, const struct store_scope *scope,
	int64_t id, struct store_incident *incident) MUST_CHECK;

struct store_incident_event {
	const char *at, *action, *outcome, *actor, *generation, *reason;
};

/* What happened in its course, the oldest first, at most limit. Owns: the work. */
enum err store_incident_timeline(struct work *w, struct store_db *db, int64_t id, int64_t limit,
	struct store_incident_event **events, size_t *n) MUST_CHECK;

/* Somebody takes it on. *is_new 0: it is over, or somebody did so before. */
enum err store_incident_ack(
	struct work *w, struct store_db *db, int64_t id, const char *note, int *is_new) MUST_CHECK;

#endif
