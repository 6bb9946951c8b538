/* Removing a token on an administrator's word. It decides what is left behind: history, an
 * incident, the trail. */
#include "custody/reauthorize.h"

#include "base/log.h"
#include "custody/app.h"
#include "custody/distribute.h"
#include "custody/trouble.h"
#include "store/audit.h"
#include "store/client.h"
#include "store/connection.h"
#include "store/token.h"

struct removal {
	struct custody_reauthorization *asked;
	int64_t connection_id;
};

static enum err take_out(
	struct work *w, struct store_db *db, const struct removal *r, struct store_retired *retired)
{
	struct store_connection connection;
	enum err err = store_connection_lock(w, db, r->connection_id, &connection);

	if (!err)
		err = store_token_retire(w, db, r->connection_id, "reauthorize.requested",
			w->origin.actor, r->asked->reason, retired);
	if (err || !retired->generation)
		return err;
	err = store_connection_emptied(w, db, r->connection_id, "removed");
	return err ? err : store_token_announce(w, db, r->asked->client, r->asked->provider, 0);
}

static enum err remove_token(struct work *w, struct store_db *db, void *context)
{
	struct removal *r = context;
	const struct custody_trouble trouble = {
		r->connection_id, r->asked->client, r->asked->provider, NULL, r->asked->reason, 0};
	struct store_retired retired = {0};
	enum err err = take_out(w, db, r, &retired);

	if (!err)
		err = custody_trouble_open(w, db, &trouble, &r->asked->incident_id);
	if (err)
		return err;
	return store_audit_add(w, db,
		&(struct store_event){.action = "reauthorize.requested",
			.client = r->asked->client,
			.provider = r->asked->provider,
			.connection_id = r->connection_id,
			.incident_id = r->asked->incident_id,
			.generation = retired.generation,
			.fingerprint = retired.fingerprint,
			.reason = r->asked->reason});
}

enum err custody_reauthorize(
	struct work *w, const struct custody *c, struct custody_reauthorization *asked)
{
	struct removal r = {.asked = asked};
	struct custody_persisted persisted;
	const struct oauth_provider *provider;
	struct store_app app;
	enum err err = custody_provider(w, c, asked->provider, &provider);

	if (!err)
		err = store_client_get(w, c->db, asked->client, NULL);
	if (!err)
		err = store_app_find(w, c->db, asked->provider, asked->client, "", &app);
	if (!err)
		err = store_connection_find(
			w, c->db, asked->client, asked->provider, &r.connection_id);
	if (!err)
		err = store_db_transaction(w, c->db, remove_token, &r);
	if (err)
		return err;
	if (custody_distribute(w, c, r.connection_id, &persisted)) {
		log_event(LOG_ERROR, "distribute.failed", LOG_TEXT("request", w->origin.request_id),
			LOG_TEXT("why", w->cause));
		work_forgive(w);
	}
	return ERR_OK;
}
