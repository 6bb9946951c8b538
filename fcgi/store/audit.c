/* Audit events: struct and row. What may be written, and when, the callers decide; that it stays,
 * the database. */
#include "store/audit.h"

#include <stdio.h>
#include <unistd.h>

static char host[128] = "unknown";
static char program[64] = "vestal";

void store_audit_init(const char *name)
{
	snprintf(program, sizeof(program), "%s %s", name, VESTAL_VERSION);
	if (gethostname(host, sizeof(host) - 1) < 0)
		snprintf(host, sizeof(host), "unknown");
}

const char *store_audit_host(void)
{
	return host;
}

static struct store_param id_or_null(int64_t id)
{
	return store_int_or_null(id, id == 0);
}

enum err store_audit_add(struct work *w, struct store_db *db, const struct store_event *event)
{
	const struct origin *origin = &w->origin;

	return store_run(w, db, STMT_AUDIT_ADD, NULL, store_text(host), store_text(program),
		store_text(origin->request_id),
		store_text(origin->actor ? origin->actor : "anonymous"),
		store_text(origin->actor_auth ? origin->actor_auth : "none"),
		store_text(origin->address), store_text(origin->user_agent),
		store_text(event->action), store_text(event->outcome ? event->outcome : "ok"),
		store_text(event->client), store_text(event->provider),
		id_or_null(event->connection_id), id_or_null(event->incident_id),
		id_or_null(event->generation), store_text(event->fingerprint),
		store_text(event->reason), store_text(event->detail_json),
		store_text(event->object_type), store_text(event->object_id),
		store_text(event->key_id));
}

enum err store_audit_make_partitions(struct work *w, struct store_db *db, int64_t *made)
{
	struct store_rows *rows = NULL;
	enum err err = store_run_plain(w, db, STMT_AUDIT_MAKE_PARTITIONS, &rows);

	if (!err)
		*made = store_get_int(rows, 0, 0);
	return err;
}
