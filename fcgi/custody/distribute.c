/*
 * The stores outside the database. It decides what stands in a copy, so that a connection can be
 * rebuilt from it alone, and in an environment file, so that no value can become anything but a
 * value.
 */
#include "custody/distribute.h"

#include "base/file.h"
#include "base/jout.h"
#include "base/log.h"
#include "custody/app.h"
#include "custody/token.h"
#include "custody/trouble.h"
#include "store/connection.h"
#include "vault/copy.h"

#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define COPY_MAX_BYTES ((size_t)64 * 1024)
#define ENVIRONMENT_MAX_BYTES ((size_t)32 * 1024)
#define COPY_FORMAT 1

struct distribution {
	const struct custody *c;
	int64_t connection_id;
	struct custody_persisted *persisted;
	struct store_current row;
	const struct oauth_provider *provider;
	struct secret *access, *refresh;
	struct custody_app app;
};

static enum err open_token(struct work *w, const struct distribution *d, const char *column,
	const struct store_sealed *sealed, struct secret **secret)
{
	const struct custody_token_place place = {
		d->row.client, d->row.provider, column, d->row.generation};

	return custody_token_open(w, d->c, &place, sealed, secret);
}

static enum err open_all(struct work *w, struct distribution *d)
{
	enum err err = open_token(w, d, "access", &d->row.access, &d->access);

	d->provider = oauth_provider_find(d->c->providers, d->row.provider);
	if (!err)
		err = open_token(w, d, "refresh", &d->row.refresh, &d->refresh);
	if (!err && d->provider)
		err = custody_app_at(w, d->c, d->provider, d->row.app_id,
			oauth_provider_datacenter(d->provider, d->row.datacenter), &d->app);
	return err;
}

/* --- the sealed copy -------------------------------------------------------------------------- */

static void compose_app(struct jout *j, const struct custody_app *app)
{
	jout_object(j, "app");
	jout_text(j, "owner", app->row.owner);
	jout_text(j, "datacenter", app->row.datacenter);
	jout_text(j, "clientId", app->row.oauth_client_id);
	jout_text(j, "clientSecret",
		app->oauth.client_secret ? secret_reveal(app->oauth.client_secret) : NULL);
	jout_text(j, "redirectUri", app->row.redirect_uri);
	jout_raw(j, "params", app->row.params_json);
	jout_end_object(j);
}

static void compose_copy(struct jout *j, const struct distribution *d)
{
	const struct store_current *row = &d->row;

	jout_object(j, NULL);
	jout_int(j, "format", COPY_FORMAT);
	jout_text(j, "client", row->client);
	jout_text(j, "clientName", row->client_name);
	jout_text(j, "provider", row->provider);
	jout_int(j, "generation", row->generation);
	jout_text(j, "datacenter", row->datacenter);
	jout_text(j, "apiDomain", row->api_domain);
	jout_text(j, "scope", row->scope);
	jout_raw(j, "kept", row->kept_json);
	jout_text(j, "tokenType", row->token_type);
	jout_text(j, "issuedAt", row->issued_at);
	jout_text(j, "expiresAt", row->expires_at);
	jout_text(j, "grantedAt", row->granted_at);
	jout_text(j, "grantEndsAt", row->grant_ends_at);
	jout_text(j, "idleEndsAt", row->idle_ends_at);
	jout_text(j, "accessToken", secret_reveal(d->access));
	jout_text(j, "refreshToken", d->refresh ? secret_reveal(d->refresh) : NULL);
	compose_app(j, &d->app);
	jout_end_object(j);
}

static enum err write_copy(struct work *w, const struct distribution *d)
{
	struct secret *content;
	struct buf buf;
	struct jout j;

	buf_init(&buf, w, COPY_MAX_BYTES);
	jout_init(&j, &buf);
	compose_copy(&j, d);
	content = buf.overflow ? NULL : secret_new(w, buf.data, buf.len);
	buf_clear(&buf);
	if (!content)
		return work_cause(w, ERR_NO_MEMORY, "the copy is too large");
	return vault_copy_write(w, d->c->keyring, conf_text(d->c->conf, CONF_state_dir),
		d->row.client, d->row.provider, d->row.generation, content);
}

/* --- the environment file --------------------------------------------------------------------- */

/* Whatever a shell, systemd or a parser of NAME=value lines might read as more than a value is
 * refused. */
static int is_plain(const char *value)
{
	for (const char *c = value; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._~+/=:%@,-", *c))
			return 0;
	return *value != '\0';
}

static enum err line(
	struct work *w, struct buf *buf, const char *provider, const char *name, const char *value)
{
	if (!value)
		return ERR_OK;
	if (!is_plain(value))
		return work_cause(w, ERR_IO,
			"%s holds a character that an environment file cannot carry", name);
	for (const char *c = provider; *c; c++)
		buf_char(buf, (char)toupper((unsigned char)*c));
	buf_char(buf, '_');
	buf_text(buf, name);
	buf_char(buf, '=');
	buf_text(buf, value);
	buf_char(buf, '\n');
	return ERR_OK;
}

static enum err compose_environment(struct work *w, const struct distribution *d, struct buf *buf)
{
	const char *provider = d->row.provider;
	const char *api = d->row.api_domain
				  ? d->row.api_domain
				  : oauth_datacenter_host(d->app.target.datacenter, "api");
	enum err err = line(w, buf, provider, "ACCESS_TOKEN", secret_reveal(d->access));

	if (!err)
		err = line(w, buf, provider, "AUTHORIZATION_SCHEME",
			d->provider->authorization_scheme);
	if (!err)
		err = line(w, buf, provider, "EXPIRES_AT", d->row.expires_at);
	if (!err)
		err = line(w, buf, provider, "GENERATION",
			work_printf(w, "%" PRId64, d->row.generation));
	return err ? err : line(w, buf, provider, "API_DOMAIN", api);
}

static enum err environment_dir(struct work *w, const struct distribution *d, int *fd)
{
	const char *runtime = conf_text(d->c->conf, CONF_runtime_dir);
	int dir;
	enum err err = file_open_dir(w, AT_FDCWD, runtime, 0, 0, &dir);

	if (!err)
		err = file_open_dir(w, dir, "env", 1, 0750, fd);
	if (!err && d->c->environment_gid != (gid_t)-1 &&
		fchown(*fd, (uid_t)-1, d->c->environment_gid) < 0)
		err = work_cause(w, ERR_IO, "chown");
	return err;
}

static const char *environment_name(struct work *w, const struct distribution *d)
{
	return work_printf(w, "%s.%s.env", d->row.client, d->row.provider);
}

static enum err write_environment(struct work *w, const struct distribution *d)
{
	struct buf buf;
	int fd = -1;
	enum err err;

	buf_init(&buf, w, ENVIRONMENT_MAX_BYTES);
	err = compose_environment(w, d, &buf);
	if (!err && buf.overflow)
		err = work_cause(w, ERR_IO, "the token is too long");
	if (!err)
		err = environment_dir(w, d, &fd);
	if (!err)
		err = file_replace(w, fd, environment_name(w, d), buf.data, buf.len, 0640,
			d->c->environment_gid);
	return err;
}

/* --- both ------------------------------------------------------------------------------------- */

static enum err remove_environment(struct work *w, const struct distribution *d)
{
	int fd = -1;
	enum err err = environment_dir(w, d, &fd);

	return err ? err : file_remove(w, fd, environment_name(w, d));
}

static enum err remove_copy(struct work *w, const struct distribution *d)
{
	return vault_copy_remove(
		w, conf_text(d->c->conf, CONF_state_dir), d->row.client, d->row.provider);
}

/* A store that fails is never silent, and never fails the request. Returns whether it is as it
 * should be. */
static int attempted(struct work *w, const struct distribution *d, const char *store, enum err err)
{
	if (err)
		log_event(LOG_ERROR, "store.failed", LOG_TEXT("store", store),
			LOG_TEXT("client", d->row.client), LOG_TEXT("provider", d->row.provider),
			LOG_INT("generation", d->row.generation), LOG_TEXT("error", err_slug(err)),
			LOG_TEXT("why", w->cause));
	work_forgive(w);
	return !err;
}

/* Recovered is what is proved and distributed; a store left behind is an incident of ours. */
static enum err settle(struct work *w, struct store_db *db, const struct distribution *d,
	const char *cause, int whole)
{
	struct custody_trouble trouble = {
		d->connection_id, d->row.client, d->row.provider, cause, NULL};
	int64_t incident_id = 0;

	if (whole)
		return d->row.generation
			       ? custody_trouble_resolve(w, db, &trouble, d->row.generation)
			       : ERR_OK;
	trouble.cause = "our_fault";
	trouble.reason = "a store outside the database could not be brought up to date";
	return custody_trouble_open(w, db, &trouble, &incident_id);
}

static enum err distribute(struct work *w, struct store_db *db, void *context)
{
	struct distribution *d = context;
	struct store_connection connection;
	int holds, file, environment;
	enum err err = store_connection_lock(w, db, d->connection_id, &connection);

	if (!err)
		err = store_token_current(w, db, d->connection_id, &d->row);
	if (err)
		return err;
	holds = d->row.generation != 0;
	if (holds)
		err = open_all(w, d);
	if (!err && holds && !d->provider)
		err = work_cause(w, ERR_CONFIG, "the provider's definition is gone");
	if (err)
		return err;
	file = attempted(w, d, "file", holds ? write_copy(w, d) : remove_copy(w, d));
	environment = attempted(
		w, d, "environment", holds ? write_environment(w, d) : remove_environment(w, d));
	*d->persisted = (struct custody_persisted){holds, holds && file, holds && environment};
	err = store_connection_distributed(w, db, d->connection_id, file ? d->row.generation : -1,
		environment ? d->row.generation : -1);
	return err ? err : settle(w, db, d, connection.cause, file && environment);
}

enum err custody_distribute(struct work *w, const struct custody *c, int64_t connection_id,
	struct custody_persisted *persisted)
{
	struct distribution d = {.c = c, .connection_id = connection_id, .persisted = persisted};

	enum err err = store_db_ready(w, c->db);

	*persisted = (struct custody_persisted){1, 0, 0};
	return err ? err : store_db_transaction(w, c->db, distribute, &d);
}
