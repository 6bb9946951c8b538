/* Finding and opening apps. It decides which app serves whom; the secret never leaves the secure
 * heap. */
#include "custody/app.h"

#include "base/jin.h"
#include "base/text.h"
#include "store/audit.h"
#include "vault/seal.h"

#include <string.h>

static struct vault_binding binding_of(
	struct work *w, const char *provider, const struct store_app *row)
{
	return (struct vault_binding){
		.purpose = "app",
		.client = row->owner,
		.provider = provider,
		.column = work_printf(w, "client_secret/%s", row->datacenter),
		.generation = row->generation,
	};
}

static enum err read_params(struct work *w, const char *json, struct oauth_pairs *params)
{
	json_t *object = jin_parse(w, json, strlen(json)), *value;
	struct oauth_pair *pairs;
	const char *name;

	if (!json_is_object(object))
		return work_cause(w, ERR_DB, "an app's params are no object");
	pairs = work_alloc(w, (json_object_size(object) + 1) * sizeof(*pairs));
	*params = (struct oauth_pairs){pairs, 0};
	json_object_foreach(object, name, value) pairs[params->count++] =
		(struct oauth_pair){name, json_string_value(value)};
	return ERR_OK;
}

static enum err open_app(struct work *w, const struct custody *c,
	const struct oauth_provider *provider, const struct oauth_datacenter *datacenter,
	struct custody_app *app)
{
	const struct vault_blob blob = {
		(unsigned char *)(uintptr_t)app->row.secret_sealed, app->row.secret_sealed_bytes};
	const struct vault_binding binding = binding_of(w, provider->name, &app->row);
	struct secret *secret = NULL;
	enum err err = vault_seal_open(w, c->keyring, VAULT_RING_APP, &binding, &blob, &secret);

	app->oauth = (struct oauth_app){app->row.oauth_client_id, secret, app->row.redirect_uri};
	app->target = (struct oauth_target){.provider = provider,
		.datacenter = datacenter
				      ? datacenter
				      : oauth_provider_datacenter(provider, app->row.datacenter)};
	return err ? err : read_params(w, app->row.params_json, &app->target.params);
}

static const char *default_datacenter(const struct oauth_provider *provider)
{
	return provider->default_datacenter ? provider->default_datacenter->name : "";
}

enum err custody_app_find(struct work *w, const struct custody *c,
	const struct oauth_provider *provider, const char *client, struct custody_app *app)
{
	enum err err = store_app_find(
		w, c->db, provider->name, client, default_datacenter(provider), &app->row);

	return err ? err : open_app(w, c, provider, NULL, app);
}

enum err custody_app_at(struct work *w, const struct custody *c,
	const struct oauth_provider *provider, int64_t app_id,
	const struct oauth_datacenter *datacenter, struct custody_app *app)
{
	struct store_app local;
	enum err err = store_app_get(w, c->db, app_id, &app->row);

	if (!err && datacenter && !text_equal(app->row.datacenter, datacenter->name)) {
		err = store_app_at(
			w, c->db, provider->name, app->row.owner, datacenter->name, &local);
		if (!err)
			app->row = local;
		if (err == ERR_APP_MISSING)
			err = ERR_OK;
	}
	return err ? err : open_app(w, c, provider, datacenter, app);
}

struct setting {
	const struct custody *c;
	const char *provider, *secret_ends_on;
	struct store_app *row;
	const struct secret *client_secret;
};

static enum err set(struct work *w, struct store_db *db, void *context)
{
	const struct setting *setting = context;
	struct store_app *row = setting->row;
	struct vault_binding binding;
	struct vault_blob blob;
	enum err err = store_app_next_generation(
		w, db, setting->provider, row->owner, row->datacenter, &row->generation);

	if (err)
		return err;
	binding = binding_of(w, setting->provider, row);
	err = vault_seal_close(
		w, setting->c->keyring, VAULT_RING_APP, &binding, setting->client_secret, &blob);
	if (err)
		return err;
	row->secret_sealed = blob.bytes;
	row->secret_sealed_bytes = blob.n;
	err = store_app_set(w, db, setting->provider, row, setting->secret_ends_on, &row->id);
	if (err)
		return err;
	return store_audit_add(w, db,
		&(struct store_event){.action = "app.set",
			.client = *row->owner ? row->owner : NULL,
			.provider = setting->provider,
			.generation = row->generation,
			.object_type = "app",
			.object_id = row->oauth_client_id});
}

enum err custody_app_set(struct work *w, const struct custody *c, const char *provider,
	struct store_app *row, const struct secret *client_secret, const char *secret_ends_on)
{
	struct setting setting = {c, provider, secret_ends_on, row, client_secret};

	return store_db_transaction(w, c->db, set, &setting);
}
