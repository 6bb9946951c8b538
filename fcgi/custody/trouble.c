/* Incidents and their messages. It decides what is told; when and by which channel is the business
 * of the outbox. */
#include "custody/trouble.h"

#include "base/jout.h"
#include "store/audit.h"
#include "store/incident.h"
#include "store/report.h"
#include "store/token.h"

#include <inttypes.h>

#define PAYLOAD_MAX_BYTES 8192
#define OPENED "incident.opened"
#define RESOLVED "incident.resolved"

/* An incident as it is told: of a connection, or of a gate. */
struct story {
	const struct custody_trouble *connection;
	const struct custody_gate_trouble *gate;
	const char *provider, *cause, *reason;
	int64_t incident_id, generation;
	int is_over;
	int64_t recovery_s;
};

static const char *payload(struct work *w, const struct story *story)
{
	struct buf buf;
	struct jout j;

	buf_init(&buf, w, PAYLOAD_MAX_BYTES);
	jout_init(&j, &buf);
	jout_object(&j, NULL);
	if (story->connection)
		jout_text(&j, "clientId", story->connection->client);
	jout_text(&j, "provider", story->provider);
	if (story->gate)
		jout_text(&j, "datacenter", story->gate->datacenter);
	if (story->gate && story->gate->app_id)
		jout_int(&j, "appId", story->gate->app_id);
	jout_text(&j, "cause", story->cause);
	jout_text(&j, "reason", story->reason);
	jout_text(&j, "actor", w->origin.actor);
	if (story->is_over)
		jout_int(&j, "recoverySeconds", story->recovery_s);
	jout_end_object(&j);
	return buf.data;
}

static enum err tell(struct work *w, struct store_db *db, const struct story *story)
{
	const char *action = story->is_over ? RESOLVED : OPENED;
	const char *detail = payload(w, story);
	int64_t connection_id = story->connection ? story->connection->connection_id : 0;
	struct store_event event = {.action = action,
		.provider = story->provider,
		.connection_id = connection_id,
		.incident_id = story->incident_id,
		.generation = story->generation,
		.reason = story->reason,
		.detail_json = detail};
	enum err err;

	if (story->connection)
		event.client = story->connection->client;
	if (story->gate) {
		event.object_type = "gate";
		event.object_id = work_printf(w, "%" PRId64, story->gate->gate_id);
	}
	err = store_audit_add(w, db, &event);
	return err ? err
		   : store_incident_tell(w, db, story->incident_id, connection_id, action, detail);
}

/* --- a connection's --------------------------------------------------------------------------- */

enum err custody_trouble_open(struct work *w, struct store_db *db,
	const struct custody_trouble *trouble, int64_t *incident_id)
{
	const char *status = NULL, *cause = trouble->cause;
	int is_new = 0;
	enum err err =
		cause ? ERR_OK : store_report_one(w, db, trouble->connection_id, &status, &cause);

	if (err)
		return err;
	err = store_incident_open(
		w, db, trouble->connection_id, cause, trouble->reason, incident_id, &is_new);
	if (err || !is_new)
		return err;
	return tell(w, db,
		&(struct story){.connection = trouble,
			.provider = trouble->provider,
			.cause = cause,
			.reason = trouble->reason,
			.incident_id = *incident_id});
}

enum err custody_trouble_unreadable(struct work *w, struct store_db *db, int64_t connection_id,
	const char *client, const char *provider, int64_t generation)
{
	const struct custody_trouble trouble = {
		connection_id, client, provider, "sealed_unreadable", NULL};
	int64_t incident_id = 0;
	int marked = 0;
	enum err err = store_token_quarantine(w, db, connection_id, generation, &marked);

	if (err || !marked)
		return err;
	err = custody_trouble_open(w, db, &trouble, &incident_id);
	return err ? err
		   : store_audit_add(w, db,
			     &(struct store_event){.action = "token.quarantined",
				     .client = client,
				     .provider = provider,
				     .connection_id = connection_id,
				     .incident_id = incident_id,
				     .generation = generation,
				     .reason = "sealed_unreadable"});
}

static enum err tell_resolved(struct work *w, struct store_db *db,
	const struct custody_mended *mended, const struct store_resolved *resolved)
{
	const struct custody_trouble trouble = {
		mended->connection_id, mended->client, mended->provider, mended->cause, NULL};

	return tell(w, db,
		&(struct story){.connection = &trouble,
			.provider = mended->provider,
			.cause = mended->cause,
			.incident_id = resolved->id,
			.generation = mended->generation,
			.is_over = 1,
			.recovery_s = resolved->recovery_s});
}

enum err custody_trouble_resolve(
	struct work *w, struct store_db *db, const struct custody_mended *mended, size_t n)
{
	struct store_resolved *resolved = work_alloc(w, (n + 1) * sizeof(*resolved));
	int64_t *ids = work_alloc(w, (n + 1) * sizeof(*ids));
	size_t count = 0;
	enum err err;

	if (n == 0)
		return ERR_OK;
	for (size_t i = 0; i < n; i++)
		ids[i] = mended[i].connection_id;
	err = store_incident_resolve(w, db, ids, n, resolved, &count);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; !err && k < count; k++)
			if (resolved[k].connection_id == ids[i])
				err = tell_resolved(w, db, &mended[i], &resolved[k]);
	return err;
}

enum err custody_trouble_close(struct work *w, struct store_db *db,
	const struct custody_mended *mended, int64_t *incident_id)
{
	struct store_resolved closed = {.connection_id = mended->connection_id};
	enum err err =
		store_incident_close(w, db, mended->connection_id, &closed.id, &closed.recovery_s);

	*incident_id = closed.id;
	return err || !closed.id ? err : tell_resolved(w, db, mended, &closed);
}

/* --- a gate's --------------------------------------------------------------------------------- */

static struct story story_of(const struct custody_gate_trouble *trouble, int64_t incident_id)
{
	return (struct story){.gate = trouble,
		.provider = trouble->provider,
		.cause = trouble->cause,
		.reason = trouble->reason,
		.incident_id = incident_id};
}

enum err custody_trouble_open_gate(struct work *w, struct store_db *db,
	const struct custody_gate_trouble *trouble, int64_t *incident_id)
{
	struct story story;
	int is_new = 0;
	enum err err = store_incident_open_gate(
		w, db, trouble->gate_id, trouble->cause, trouble->reason, incident_id, &is_new);

	if (err || !is_new)
		return err;
	story = story_of(trouble, *incident_id);
	return tell(w, db, &story);
}

enum err custody_trouble_resolve_gate(
	struct work *w, struct store_db *db, const struct custody_gate_trouble *trouble)
{
	struct story story;
	int64_t incident_id = 0, recovery_s = 0;
	enum err err =
		store_incident_resolve_gate(w, db, trouble->gate_id, &incident_id, &recovery_s);

	if (err || !incident_id)
		return err;
	story = story_of(trouble, incident_id);
	story.is_over = 1;
	story.recovery_s = recovery_s;
	return tell(w, db, &story);
}
