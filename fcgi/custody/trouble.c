/* Incidents and their messages. It decides what is told; when and by which channel is the business
 * of the outbox. */
#include "custody/trouble.h"

#include "base/jout.h"
#include "store/audit.h"
#include "store/gate.h"
#include "store/incident.h"
#include "store/report.h"
#include "store/token.h"

#include <inttypes.h>

#define PAYLOAD_MAX_BYTES 8192
#define OPENED "incident.opened"
#define RESOLVED "incident.resolved"
#define FLAPS_TOLD 1 /* whoever was told so often that it came back knows that it does */

/* An incident as it is told: of a connection, or of a gate. */
struct story {
	const struct custody_trouble *connection;
	const struct custody_gate_trouble *gate;
	const char *provider, *cause, *reason;
	int64_t incident_id, generation, flaps;
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
	if (story->flaps)
		jout_int(&j, "flaps", story->flaps);
	jout_end_object(&j);
	return buf.data;
}

static enum err note(struct work *w, struct store_db *db, const struct story *story,
	const char *action, const char *detail)
{
	struct store_event event = {.action = action,
		.provider = story->provider,
		.incident_id = story->incident_id,
		.generation = story->generation,
		.reason = story->reason,
		.detail_json = detail};

	if (story->connection) {
		event.client = story->connection->client;
		event.connection_id = story->connection->connection_id;
	}
	if (story->gate) {
		event.object_type = "gate";
		event.object_id = work_printf(w, "%" PRId64, story->gate->gate_id);
	}
	return store_audit_add(w, db, &event);
}

/* What comes and goes is told twice, then by reminders; that it is over, when it stays so. */
static enum err tell(struct work *w, struct store_db *db, const struct story *story)
{
	const char *action = story->is_over ? RESOLVED : OPENED;
	const char *detail = payload(w, story);
	const struct store_message message = {.incident_id = story->incident_id,
		.connection_id = story->connection ? story->connection->connection_id : 0,
		.flaps = story->flaps,
		.hold_s = story->is_over && story->flaps ? STORE_INCIDENT_QUIET_S : 0,
		.kind = action,
		.payload_json = detail};
	enum err err = note(w, db, story, action, detail);

	if (err || (!story->is_over && story->flaps > FLAPS_TOLD))
		return err;
	return store_incident_tell(w, db, &message);
}

/* --- a connection's --------------------------------------------------------------------------- */

/* One speaks for many: the open gate that stands before the connection, or else one that is opened
 * for this. */
static enum err find_speaker(struct work *w, struct store_db *db,
	const struct custody_trouble *trouble, const char *cause, int64_t incident_id)
{
	struct store_siblings siblings;
	int64_t parent_id;
	enum err err =
		store_incident_siblings(w, db, incident_id, CUSTODY_TROUBLE_WINDOW_S, &siblings);

	if (err || !siblings.count)
		return err;
	parent_id = siblings.parent_id;
	if (!parent_id && (siblings.count < CUSTODY_TROUBLE_MANY || !siblings.gate_id))
		return ERR_OK;
	if (!parent_id)
		err = custody_trouble_open_gate(w, db,
			&(struct custody_gate_trouble){.gate_id = siblings.gate_id,
				.provider = trouble->provider,
				.datacenter = siblings.datacenter,
				.cause = cause,
				.reason = "many connections failed within minutes"},
			&parent_id);
	return err ? err
		   : store_incident_adopt(w, db, parent_id, siblings.parent_id ? incident_id : 0,
			     CUSTODY_TROUBLE_WINDOW_S);
}

enum err custody_trouble_open(struct work *w, struct store_db *db,
	const struct custody_trouble *trouble, int64_t *incident_id)
{
	struct story story = {.connection = trouble,
		.provider = trouble->provider,
		.cause = trouble->cause,
		.reason = trouble->reason};
	const char *status = NULL;
	struct store_opened opened;
	enum err err = story.cause ? ERR_OK
				   : store_report_one(
					     w, db, trouble->connection_id, &status, &story.cause);

	if (!err)
		err = store_incident_open(w, db, trouble->connection_id, story.cause,
			trouble->reason, trouble->is_suspicion, &opened);
	if (err)
		return err;
	*incident_id = story.incident_id = opened.id;
	story.flaps = opened.flaps;
	if (opened.is_suspected)
		return note(w, db, &story, "incident.suspected", payload(w, &story));
	if (!opened.is_opened)
		return ERR_OK;
	err = find_speaker(w, db, trouble, story.cause, opened.id);
	return err ? err : tell(w, db, &story);
}

enum err custody_trouble_unreadable(struct work *w, struct store_db *db, int64_t connection_id,
	const char *client, const char *provider, int64_t generation)
{
	const struct custody_trouble trouble = {
		connection_id, client, provider, "sealed_unreadable", NULL, 0};
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
		mended->connection_id, mended->client, mended->provider, mended->cause, NULL, 0};

	return tell(w, db,
		&(struct story){.connection = &trouble,
			.provider = mended->provider,
			.cause = mended->cause,
			.incident_id = resolved->id,
			.generation = mended->generation,
			.flaps = resolved->flaps,
			.is_over = 1,
			.recovery_s = resolved->recovery_s});
}

static enum err note_recovering(struct work *w, struct store_db *db,
	const struct custody_mended *mended, const struct store_resolved *recovering)
{
	const struct custody_trouble trouble = {
		mended->connection_id, mended->client, mended->provider, mended->cause, NULL, 0};

	return note(w, db,
		&(struct story){.connection = &trouble,
			.provider = mended->provider,
			.incident_id = recovering->id,
			.generation = mended->generation},
		"incident.recovering", NULL);
}

static int64_t *ids_of(struct work *w, const struct custody_mended *mended, size_t n)
{
	int64_t *ids = work_alloc(w, (n + 1) * sizeof(*ids));

	for (size_t i = 0; i < n; i++)
		ids[i] = mended[i].connection_id;
	return ids;
}

enum err custody_trouble_recovering(
	struct work *w, struct store_db *db, const struct custody_mended *mended, size_t n)
{
	struct store_resolved *recovering = work_alloc(w, (n + 1) * sizeof(*recovering));
	size_t count = 0;
	enum err err =
		n ? store_incident_recovering(w, db, ids_of(w, mended, n), n, recovering, &count)
		  : ERR_OK;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; !err && k < count; k++)
			if (recovering[k].connection_id == mended[i].connection_id)
				err = note_recovering(w, db, &mended[i], &recovering[k]);
	return err;
}

enum err custody_trouble_resolve(
	struct work *w, struct store_db *db, const struct custody_mended *mended, size_t n)
{
	struct store_resolved *resolved = work_alloc(w, (n + 1) * sizeof(*resolved));
	int has_parent = 0;
	size_t count = 0;
	enum err err = n ? store_incident_resolve(w, db, ids_of(w, mended, n), n, resolved, &count)
			 : ERR_OK;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; !err && k < count; k++)
			if (resolved[k].connection_id == mended[i].connection_id)
				err = tell_resolved(w, db, &mended[i], &resolved[k]);
	for (size_t k = 0; k < count; k++)
		has_parent |= resolved[k].has_parent;
	return !err && has_parent ? custody_trouble_resolve_quiet(w, db) : err;
}

enum err custody_trouble_close(struct work *w, struct store_db *db,
	const struct custody_mended *mended, int64_t *incident_id)
{
	struct store_resolved closed;
	enum err err = store_incident_close(w, db, mended->connection_id, &closed);

	*incident_id = closed.id;
	return err || !closed.id ? err : tell_resolved(w, db, mended, &closed);
}

/* --- a gate's --------------------------------------------------------------------------------- */

static struct story story_of(
	const struct custody_gate_trouble *trouble, int64_t incident_id, int64_t flaps)
{
	return (struct story){.gate = trouble,
		.provider = trouble->provider,
		.cause = trouble->cause,
		.reason = trouble->reason,
		.incident_id = incident_id,
		.flaps = flaps};
}

enum err custody_trouble_open_gate(struct work *w, struct store_db *db,
	const struct custody_gate_trouble *trouble, int64_t *incident_id)
{
	struct store_opened opened;
	struct story story;
	enum err err = store_incident_open_gate(
		w, db, trouble->gate_id, trouble->cause, trouble->reason, &opened);

	*incident_id = opened.id;
	if (err || !opened.is_opened)
		return err;
	story = story_of(trouble, opened.id, opened.flaps);
	return tell(w, db, &story);
}

enum err custody_trouble_resolve_gate(
	struct work *w, struct store_db *db, const struct custody_gate_trouble *trouble)
{
	struct store_resolved resolved;
	struct story story;
	enum err err = store_incident_resolve_gate(w, db, trouble->gate_id, &resolved);

	if (err || !resolved.id)
		return err;
	story = story_of(trouble, resolved.id, resolved.flaps);
	story.is_over = 1;
	story.recovery_s = resolved.recovery_s;
	return tell(w, db, &story);
}

enum err custody_trouble_resolve_quiet(struct work *w, struct store_db *db)
{
	struct store_gate_quiet *quiet = NULL;
	size_t n = 0;
	enum err err = store_gate_quiet(w, db, CUSTODY_TROUBLE_WINDOW_S, &quiet, &n);

	for (size_t i = 0; !err && i < n; i++)
		err = custody_trouble_resolve_gate(w, db,
			&(struct custody_gate_trouble){.gate_id = quiet[i].id,
				.provider = quiet[i].key.provider,
				.datacenter = quiet[i].key.datacenter,
				.app_id = quiet[i].key.app_id,
				.cause = "none"});
	return err;
}

/* --- a person's ------------------------------------------------------------------------------- */

struct acknowledging {
	const struct store_scope *scope;
	int64_t id;
	const char *note;
};

static enum err acknowledge(struct work *w, struct store_db *db, void *context)
{
	const struct acknowledging *a = context;
	struct store_incident incident;
	int is_new = 0;
	enum err err = store_incident_one(w, db, a->scope, a->id, &incident);

	if (!err)
		err = store_incident_ack(w, db, a->id, a->note, &is_new);
	if (err)
		return err;
	if (!is_new)
		return incident.resolved_at
			       ? work_fail(w, ERR_CONFLICT, "The incident is resolved.")
			       : ERR_OK;
	return store_audit_add(w, db,
		&(struct store_event){.action = "incident.acknowledged",
			.client = incident.client,
			.provider = incident.provider,
			.incident_id = a->id,
			.reason = a->note});
}

enum err custody_trouble_acknowledge(struct work *w, const struct custody *c,
	const struct store_scope *scope, int64_t incident_id, const char *note)
{
	struct acknowledging a = {scope, incident_id, note};

	return store_db_transaction(w, c->db, acknowledge, &a);
}
