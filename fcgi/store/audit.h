/* The audit trail, written in the transaction of what happened. */
#ifndef VESTAL_STORE_AUDIT_H
#define VESTAL_STORE_AUDIT_H

#include "store/db.h"

/* One event. Who asked comes from the work; NULL and 0 mean: does not apply. */
struct store_event {
	const char *action;  /* of the contract's list */
	const char *outcome; /* "ok", "denied", "error", "partial"; NULL: "ok" */
	const char *client, *provider;
	int64_t connection_id, incident_id, generation;
	const char *fingerprint;
	const char *reason;      /* a person's words, or the slug of an error */
	const char *detail_json; /* an object */
	const char *object_type, *object_id, *key_id;
};

/* Host and program, said once per process. */
void store_audit_init(const char *program);
const char *store_audit_host(void);

enum err store_audit_add(
	struct work *w, struct store_db *db, const struct store_event *event) MUST_CHECK;

/* Makes the partitions of this month and the next twelve. *made: how many were new. */
enum err store_audit_make_partitions(struct work *w, struct store_db *db, int64_t *made) MUST_CHECK;

#endif
