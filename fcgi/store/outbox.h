/* The outbox: what people have to be told, claimed by whoever sends it. */
#ifndef VESTAL_STORE_OUTBOX_H
#define VESTAL_STORE_OUTBOX_H

#include "store/db.h"

/* A message, and how things stand with what it is about. What does not apply is NULL, 0. */
struct store_letter {
	int64_t id;
	const char *message_id, *kind, *payload_json;
	int64_t created_s, attempts; /* since 1970; this one included */
	int64_t incident_id;
	const char *state, *cause, *reason;
	int64_t flaps, connection_id;
	const char *client, *client_name, *provider, *datacenter;
	int is_of_app;
	const char *status, *action, *owner;
	const char *opened_at, *impact_start, *acknowledged_at, *acknowledged_by, *resolved_at,
		*resolved_by;
	int64_t children;
};

/* Adds what has to be told and is nobody's transition: reminders, grants that end, runs that were
 * missed (more than gap_s apart), the day's summary; takes back what need not be told any more, and
 * what is older than days. */
enum err store_outbox_gather(
	struct work *w, struct store_db *db, int64_t gap_s, int64_t days) MUST_CHECK;

struct store_outbox_state {
	int64_t waiting, sent_lately; /* messages; mails of the last hour */
	int had_digest;               /* within a quarter of an hour */
};

/* Nobody else claims until the transaction ends. */
enum err store_outbox_look(
	struct work *w, struct store_db *db, struct store_outbox_state *state) MUST_CHECK;

/* The oldest that wait, at most limit: nobody else sends them for lease_s. Owns: the work. */
enum err store_outbox_claim(struct work *w, struct store_db *db, int64_t limit, int64_t lease_s,
	struct store_letter **letters, size_t *n) MUST_CHECK;

/* How it ended: they went as mail_id; they are to be tried in wait_s; they were not tried. */
enum err store_outbox_sent(struct work *w, struct store_db *db, const int64_t *ids, size_t n,
	const char *mail_id) MUST_CHECK;
enum err store_outbox_failed(struct work *w, struct store_db *db, const int64_t *ids, size_t n,
	int64_t wait_s, const char *error) MUST_CHECK;
enum err store_outbox_release(
	struct work *w, struct store_db *db, const int64_t *ids, size_t n) MUST_CHECK;

#endif
