/* Onboarding. It decides what a change of a client means to its connections. */
#include "custody/onboard.h"

#include "custody/trouble.h"
#include "store/audit.h"
#include "store/client.h"
#include "store/connection.h"

#include <string.h>

static enum err note(struct work *w, struct store_db *db, const char *action, const char *client,
	const char *provider)
{
	return store_audit_add(w, db,
		&(struct store_event){.action = action, .client = client, .provider = provider});
}

/* What was wrong with a connection is over with it. */
static enum err close_incident(
	struct work *w, struct store_db *db, const char *client, const struct store_taken *taken)
{
	const struct custody_mended mended = {taken->id, 0, client, taken->provider, "removed"};
	int64_t incident_id = 0;

	return custody_trouble_close(w, db, &mended, &incident_id);
}

static enum err take_away(struct work *w, struct store_db *db, const struct custody_onboarding *o)
{
	const char *held = NULL;
	struct store_taken *taken = NULL;
	size_t n = 0;
	enum err err =
		store_connection_held(w, db, o->client, o->providers, o->provider_count, &held);

	if (!err && held)
		return work_fail(w, ERR_IN_USE,
			"%s still holds a token of this client: remove the token first", held);
	if (!err)
		err = store_connection_take_away(
			w, db, o->client, o->providers, o->provider_count, &taken, &n);
	for (size_t i = 0; !err && i < n; i++) {
		err = note(w, db, "connection.removed", o->client, taken[i].provider);
		if (!err)
			err = close_incident(w, db, o->client, &taken[i]);
	}
	return err;
}

static enum err connect_one(
	struct work *w, struct store_db *db, const char *client, const char *provider)
{
	int64_t id = 0;
	int is_new = 0;
	enum err err = store_connection_ensure(w, db, client, provider, &id, &is_new);

	return err || !is_new ? err : note(w, db, "connection.added", client, provider);
}

static enum err onboard(struct work *w, struct store_db *db, void *context)
{
	struct custody_onboarding *o = context;
	enum err err = store_client_put(w, db, o->client, o->name, &o->is_new);

	if (!err)
		err = note(w, db, o->is_new ? "client.added" : "client.changed", o->client, NULL);
	if (err || !o->providers)
		return err;
	err = store_connection_lock_all(w, db, o->client);
	if (!err)
		err = take_away(w, db, o);
	for (size_t i = 0; !err && i < o->provider_count; i++)
		err = connect_one(w, db, o->client, o->providers[i]);
	return err;
}

enum err custody_onboard(struct work *w, const struct custody *c, struct custody_onboarding *o)
{
	enum err err = ERR_OK;

	if (o->name && !o->name[strspn(o->name, " ")])
		err = work_fail_field(w, "name", "is blank");
	for (size_t i = 0; o->providers && i < o->provider_count; i++)
		if (!oauth_provider_find(c->providers, o->providers[i]))
			err = work_fail_field(
				w, work_printf(w, "providers[%zu]", i), "is not a known provider");
	return err ? err : store_db_transaction(w, c->db, onboard, o);
}

struct connecting {
	const char *client, *provider;
};

static enum err add_connection(struct work *w, struct store_db *db, void *context)
{
	const struct connecting *asked = context;
	enum err err = store_client_get(w, db, asked->client, NULL);

	return err ? err : connect_one(w, db, asked->client, asked->provider);
}

enum err custody_onboard_connect(
	struct work *w, const struct custody *c, const char *client, const char *provider)
{
	struct connecting asked = {client, provider};
	const struct oauth_provider *known;
	enum err err = custody_provider(w, c, provider, &known);

	return err ? err : store_db_transaction(w, c->db, add_connection, &asked);
}

static enum err remove_client(struct work *w, struct store_db *db, void *context)
{
	const char *client = context;
	struct store_taken *taken = NULL;
	size_t n = 0;
	enum err err = store_connection_lock_all(w, db, client);

	if (!err)
		err = store_client_remove(w, db, client);
	if (!err)
		err = store_connection_take_away(
			w, db, client, (const char *[]){""}, 0, &taken, &n);
	for (size_t i = 0; !err && i < n; i++)
		err = close_incident(w, db, client, &taken[i]);
	return err ? err : note(w, db, "client.removed", client, NULL);
}

enum err custody_onboard_remove(struct work *w, const struct custody *c, const char *client)
{
	return store_db_transaction(w, c->db, remove_client, (void *)(uintptr_t)client);
}
