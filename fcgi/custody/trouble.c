/* Incidents and their messages. It decides what is told; when and by which channel is the business
 * of the outbox. */
#include "custody/trouble.h"

#include "base/jout.h"
#include "store/audit.h"
#include "store/incident.h"
#include "store/report.h"

#define PAYLOAD_MAX_BYTES 8192

static const char *payload(struct work *w, const struct custody_trouble *trouble, const char *cause,
	int64_t recovery_s)
{
	struct buf buf;
	struct jout j;

	buf_init(&buf, w, PAYLOAD_MAX_BYTES);
	jout_init(&j, &buf);
	jout_object(&j, NULL);
	jout_text(&j, "clientId", trouble->client);
	jout_text(&j, "provider", trouble->provider);
	jout_text(&j, "cause", cause);
	jout_text(&j, "reason", trouble->reason);
	jout_text(&j, "actor", w->origin.actor);
	if (recovery_s >= 0)
		jout_int(&j, "recoverySeconds", recovery_s);
	jout_end_object(&j);
	return buf.data;
}

static enum err record(struct work *w, struct store_db *db, const struct custody_trouble *trouble,
	const char *action, int64_t incident_id, int64_t generation, const char *detail)
{
	enum err err = store_audit_add(w, db,
		&(struct store_event){.action = action,
			.client = trouble->client,
			.provider = trouble->provider,
			.connection_id = trouble->connection_id,
			.incident_id = incident_id,
			.generation = generation,
			.reason = trouble->reason,
			.detail_json = detail});

	return err ? err
		   : store_incident_tell(
			     w, db, incident_id, trouble->connection_id, action, detail);
}

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
	return record(
		w, db, trouble, "incident.opened", *incident_id, 0, payload(w, trouble, cause, -1));
}

enum err custody_trouble_resolve(struct work *w, struct store_db *db,
	const struct custody_trouble *trouble, int64_t generation)
{
	int64_t incident_id = 0, recovery_s = 0;
	enum err err =
		store_incident_resolve(w, db, trouble->connection_id, &incident_id, &recovery_s);

	if (err || !incident_id)
		return err;
	return record(w, db, trouble, "incident.resolved", incident_id, generation,
		payload(w, trouble, trouble->cause, recovery_s));
}
