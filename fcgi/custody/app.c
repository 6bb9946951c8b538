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
		return work_cause(w, ERR_CONFIG, "an app's params are no object");
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
		.client_id = app->row.oauth_client_id,
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

/* --- apps that are shared --------------------------------------------------------------------- */

struct shared_app {
	struct shared_app *next;
	struct work w; /* its own: one that does not open leaves nothing behind */
	const struct oauth_provider *provider;
	const struct oauth_datacenter *datacenter;
	int64_t app_id;
	struct custody_app app;
};

struct custody_apps {
	struct work *w;
	struct shared_app *first;
	struct shared_app *spare; /* of one that did not open; or NULL */
	size_t count;
};

static void end_apps(void *handle)
{
	struct custody_apps *apps = handle;

	for (struct shared_app *shared = apps->first; shared; shared = shared->next)
		work_end(&shared->w);
}

struct custody_apps *custody_apps_new(struct work *w)
{
	struct custody_apps *apps = work_alloc(w, sizeof(*apps));

	apps->w = w;
	work_defer(w, end_apps, apps);
	return apps;
}

static const struct shared_app *find_shared(const struct custody_apps *apps,
	const struct oauth_provider *provider, int64_t app_id,
	const struct oauth_datacenter *datacenter)
{
	const struct shared_app *shared = apps->first;

	while (shared && (shared->app_id != app_id || shared->datacenter != datacenter ||
				 shared->provider != provider))
		shared = shared->next;
	return shared;
}

static enum err open_shared(struct work *w, const struct custody *c, struct shared_app *shared)
{
	struct work *own = &shared->w;
	enum err err;

	work_begin(own, work_left_ms(w));
	err = custody_app_at(
		own, c, shared->provider, shared->app_id, shared->datacenter, &shared->app);
	if (!err)
		return ERR_OK;
	if (own->detail)
		work_fail(w, err, "%s", own->detail);
	work_cause(w, err, "%s", own->cause ? own->cause : err_slug(err));
	w->retry_after_s = own->retry_after_s;
	work_end(own);
	return err;
}

static enum err share(struct work *w, const struct custody *c, struct custody_apps *apps,
	const struct shared_app *wanted, const struct custody_app **app)
{
	struct shared_app *shared = apps->spare;
	enum err err;

	if (!shared)
		shared = work_alloc(apps->w, sizeof(*shared));
	*shared = *wanted;
	err = open_shared(w, c, shared);
	apps->spare = err ? shared : NULL;
	if (err)
		return err;
	shared->next = apps->first;
	apps->first = shared;
	apps->count++;
	*app = &shared->app;
	return ERR_OK;
}

enum err custody_apps_at(struct work *w, const struct custody *c, struct custody_apps *apps,
	const struct oauth_provider *provider, int64_t app_id,
	const struct oauth_datacenter *datacenter, const struct custody_app **app)
{
	const struct shared_app wanted = {
		.provider = provider, .datacenter = datacenter, .app_id = app_id};
	const struct shared_app *shared = find_shared(apps, provider, app_id, datacenter);
	struct custody_app *own;
	enum err err;

	*app = shared ? &shared->app : NULL;
	if (shared)
		return ERR_OK;
	if (apps->count < CUSTODY_APPS_MAX)
		return share(w, c, apps, &wanted, app);
	own = work_alloc(w, sizeof(*own));
	err = custody_app_at(w, c, provider, app_id, datacenter, own);
	*app = err ? NULL : own;
	return err;
}

/* --- setting one ------------------------------------------------------------------------------ */

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
