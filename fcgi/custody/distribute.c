/*
 * The stores outside the database. It decides what stands in a copy, so that a connection can be
 * rebuilt from it alone, and in an environment file, so that no value can become anything but a
 * value; and how many wait for the disk together.
 */
#include "custody/distribute.h"

#include "base/clock.h"
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
#define HOLD_MS 1000 /* others give up waiting for a row after 5 s */

/* One connection: its row, and what became of it outside. */
struct distribution {
	const struct store_current *row;
	struct file_outcome opened, copy, environment;
};

/* Connections that are locked together. */
struct round {
	const struct custody *c;
	struct custody_apps *apps;
	const int64_t *ids;
	size_t n;
	struct distribution *each; /* in the order of their files */
	size_t count, done;
	int environment_fd;
	struct file_outcome environment_dir;
	struct file_batch *environments;
	struct vault_copy_batch *copies;
};

/* What is sealed in a row, opened. */
struct contents {
	const struct store_current *row;
	const struct oauth_provider *provider;
	const struct custody_app *app;
	struct secret *access, *refresh;
};

static enum err open_token(struct work *w, const struct custody *c, const struct store_current *row,
	const char *column, const struct store_sealed *sealed, struct secret **secret)
{
	const struct custody_token_place place = {
		row->client, row->provider, column, row->generation};

	return custody_token_open(w, c, &place, sealed, secret);
}

static enum err open_contents(struct work *w, const struct round *r, struct contents *it)
{
	const struct store_current *row = it->row;
	enum err err;

	it->provider = oauth_provider_find(r->c->providers, row->provider);
	if (!it->provider)
		return work_cause(w, ERR_CONFIG, "the provider's definition is gone");
	err = open_token(w, r->c, row, "access", &row->access, &it->access);
	if (!err)
		err = open_token(w, r->c, row, "refresh", &row->refresh, &it->refresh);
	return err ? err
		   : custody_apps_at(w, r->c, r->apps, it->provider, row->app_id,
			     oauth_provider_datacenter(it->provider, row->datacenter), &it->app);
}

/* Whether an error is of one connection alone; any other is of the database, and ends the round. */
static int is_own(enum err err)
{
	return err == ERR_SEALED || err == ERR_KEY_UNKNOWN || err == ERR_APP_MISSING ||
	       err == ERR_CONFIG || err == ERR_NO_MEMORY || err == ERR_TOO_LARGE || err == ERR_BUG;
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

static void compose_copy(struct jout *j, const struct contents *it)
{
	const struct store_current *row = it->row;

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
	jout_text(j, "accountFingerprint", row->account);
	jout_text(j, "tokenType", row->token_type);
	jout_text(j, "issuedAt", row->issued_at);
	jout_text(j, "expiresAt", row->expires_at);
	jout_text(j, "grantedAt", row->granted_at);
	jout_text(j, "grantEndsAt", row->grant_ends_at);
	jout_text(j, "idleEndsAt", row->idle_ends_at);
	jout_text(j, "accessToken", secret_reveal(it->access));
	jout_text(j, "refreshToken", it->refresh ? secret_reveal(it->refresh) : NULL);
	compose_app(j, it->app);
	jout_end_object(j);
}

static enum err add_copy(struct work *w, const struct round *r, const struct contents *it,
	struct file_outcome *outcome)
{
	const struct store_current *row = it->row;
	struct secret *content;
	struct buf buf;
	struct jout j;

	buf_init(&buf, w, COPY_MAX_BYTES);
	jout_init(&j, &buf);
	compose_copy(&j, it);
	content = buf.overflow ? NULL : secret_new(w, buf.data, buf.len);
	buf_clear(&buf);
	if (!content)
		return work_cause(w, ERR_NO_MEMORY, "the copy is too large");
	return vault_copy_batch_add(
		w, r->copies, row->client, row->provider, row->generation, content, outcome);
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

static enum err compose_environment(struct work *w, const struct contents *it, struct buf *buf)
{
	const struct store_current *row = it->row;
	const char *provider = row->provider;
	const char *api = row->api_domain
				  ? row->api_domain
				  : oauth_datacenter_host(it->app->target.datacenter, "api");
	enum err err = line(w, buf, provider, "ACCESS_TOKEN", secret_reveal(it->access));

	if (!err)
		err = line(w, buf, provider, "AUTHORIZATION_SCHEME",
			it->provider->authorization_scheme);
	if (!err)
		err = line(w, buf, provider, "EXPIRES_AT", row->expires_at);
	if (!err)
		err = line(w, buf, provider, "GENERATION",
			work_printf(w, "%" PRId64, row->generation));
	return err ? err : line(w, buf, provider, "API_DOMAIN", api);
}

static enum err environment_dir(struct work *w, const struct custody *c, int *fd)
{
	const char *runtime = conf_text(c->conf, CONF_runtime_dir);
	int dir;
	enum err err = file_open_dir(w, AT_FDCWD, runtime, 0, 0, &dir);

	if (!err)
		err = file_open_dir(w, dir, "env", 1, 0750, fd);
	if (!err && c->environment_gid != (gid_t)-1 &&
		fchown(*fd, (uid_t)-1, c->environment_gid) < 0)
		err = work_cause(w, ERR_IO, "chown");
	return err;
}

static const char *environment_name(struct work *w, const struct store_current *row)
{
	return work_printf(w, "%s.%s.env", row->client, row->provider);
}

static enum err add_environment(struct work *w, const struct round *r, const struct contents *it,
	struct file_outcome *outcome)
{
	struct buf buf;
	enum err err;

	buf_init(&buf, w, ENVIRONMENT_MAX_BYTES);
	err = compose_environment(w, it, &buf);
	if (!err && buf.overflow)
		err = work_cause(w, ERR_IO, "the token is too long");
	if (err)
		return err;
	if (file_batch_count(r->environments) == FILE_BATCH_MAX)
		file_batch_finish(r->environments);
	return file_batch_add(w, r->environments, r->environment_fd, environment_name(w, it->row),
		buf.data, buf.len, 0640, r->c->environment_gid, outcome);
}

/* --- both ------------------------------------------------------------------------------------- */

/* Keeps why something failed beyond its own unit of work, which goes on. */
static void keep(struct work *w, struct work *own, enum err err, struct file_outcome *outcome)
{
	if (err)
		*outcome = (struct file_outcome){err, work_strdup(w, own->cause)};
	work_forgive(own);
}

static enum err write_both(
	struct work *w, struct work *own, struct round *r, struct distribution *d)
{
	struct contents it = {.row = d->row};
	enum err err = open_contents(own, r, &it);

	if (err && !is_own(err))
		return work_cause(w, err, "%s", own->cause ? own->cause : err_slug(err));
	keep(w, own, err, &d->opened);
	if (err) {
		d->copy = d->environment = d->opened;
		return ERR_OK;
	}
	keep(w, own, add_copy(own, r, &it, &d->copy), &d->copy);
	d->environment = r->environment_dir;
	if (!d->environment.err)
		keep(w, own, add_environment(own, r, &it, &d->environment), &d->environment);
	return ERR_OK;
}

static void remove_both(struct work *w, struct work *own, struct round *r, struct distribution *d)
{
	const struct store_current *row = d->row;
	const char *state = conf_text(r->c->conf, CONF_state_dir);

	keep(w, own, vault_copy_remove(own, state, row->client, row->provider), &d->copy);
	d->environment = r->environment_dir;
	if (!d->environment.err)
		keep(w, own, file_remove(own, r->environment_fd, environment_name(own, row)),
			&d->environment);
}

/* A unit of work of its own for each, so that the secrets of no more than one are open. */
static enum err bring(struct work *w, struct round *r, struct distribution *d)
{
	struct work own;
	enum err err = ERR_OK;

	work_begin(&own, work_left_ms(w));
	own.origin = w->origin;
	if (d->row->generation)
		err = write_both(w, &own, r, d);
	else
		remove_both(w, &own, r, d);
	work_end(&own);
	return err;
}

static enum err bring_all(struct work *w, struct round *r)
{
	const int64_t until_ms = clock_monotonic_ms() + HOLD_MS;
	enum err err = ERR_OK;

	while (!err && r->done < r->count && (!r->done || clock_monotonic_ms() < until_ms)) {
		err = bring(w, r, &r->each[r->done]);
		r->done += !err;
	}
	vault_copy_batch_finish(r->copies);
	file_batch_finish(r->environments);
	return err;
}

/* --- what is said of it ----------------------------------------------------------------------- */

static int is_whole(const struct distribution *d)
{
	return !d->copy.err && !d->environment.err;
}

static void tell(
	const struct distribution *d, const char *store, const struct file_outcome *outcome)
{
	if (outcome->err)
		log_event(LOG_ERROR, "store.failed", LOG_TEXT("store", store),
			LOG_TEXT("client", d->row->client), LOG_TEXT("provider", d->row->provider),
			LOG_INT("generation", d->row->generation),
			LOG_TEXT("error", err_slug(outcome->err)), LOG_TEXT("why", outcome->cause));
}

static enum err record(struct work *w, struct store_db *db, const struct round *r)
{
	struct store_distributed *rows = work_alloc(w, (r->done + 1) * sizeof(*rows));

	for (size_t i = 0; i < r->done; i++) {
		const struct distribution *d = &r->each[i];
		int64_t generation = d->row->generation;

		rows[i] = (struct store_distributed){d->row->connection_id,
			d->copy.err ? -1 : generation, d->environment.err ? -1 : generation};
	}
	return store_connection_distributed(w, db, rows, r->done);
}

/* A store that fails is never silent, and never fails the request. */
static enum err open_trouble(struct work *w, struct store_db *db, const struct distribution *d)
{
	const struct custody_trouble trouble = {d->row->connection_id, d->row->client,
		d->row->provider, "our_fault",
		d->opened.err ? "what the database holds could not be opened for the other stores"
			      : "a store outside the database could not be brought up to date",
		0};
	int64_t incident_id = 0;

	if (d->opened.err)
		tell(d, "all", &d->opened);
	else {
		tell(d, "file", &d->copy);
		tell(d, "environment", &d->environment);
	}
	return d->row->has_incident ? ERR_OK : custody_trouble_open(w, db, &trouble, &incident_id);
}

/* Recovered is what is proved and distributed; a store left behind is an incident of ours. */
static enum err settle(struct work *w, struct store_db *db, const struct round *r)
{
	struct custody_mended *mended = work_alloc(w, (r->done + 1) * sizeof(*mended));
	struct custody_mended *all = work_alloc(w, (r->done + 1) * sizeof(*all));
	size_t n = 0, all_n = 0;
	enum err err = ERR_OK;

	for (size_t i = 0; !err && i < r->done; i++) {
		const struct store_current *row = r->each[i].row;
		const struct custody_mended one = {row->connection_id, row->generation, row->client,
			row->provider, row->cause};

		if (!is_whole(&r->each[i]))
			err = open_trouble(w, db, &r->each[i]);
		else if (row->has_incident)
			mended[n++] = one;
		if (row->has_incident)
			all[all_n++] = one;
	}
	if (!err)
		err = custody_trouble_resolve(w, db, mended, n);
	return err ? err : custody_trouble_recovering(w, db, all, all_n);
}

/* --- rounds ----------------------------------------------------------------------------------- */

static enum err read_rows(struct work *w, struct store_db *db, struct round *r)
{
	struct store_current *rows = work_alloc(w, r->n * sizeof(*rows));
	enum err err = store_connection_lock_many(w, db, r->ids, r->n);

	if (!err)
		err = store_token_current_many(w, db, r->ids, r->n, rows, &r->count);
	if (err)
		return err;
	r->each = work_alloc(w, r->n * sizeof(*r->each));
	for (size_t i = 0; i < r->count; i++)
		r->each[i].row = &rows[i];
	return ERR_OK;
}

static void open_stores(struct work *w, struct round *r)
{
	r->environment_dir.err = environment_dir(w, r->c, &r->environment_fd);
	r->environment_dir.cause = w->cause;
	work_forgive(w);
	r->environments = file_batch_new(w);
	r->copies = vault_copy_batch_new(w, r->c->keyring, conf_text(r->c->conf, CONF_state_dir));
}

static enum err distribute(struct work *w, struct store_db *db, void *context)
{
	struct round *r = context;
	enum err err = read_rows(w, db, r);

	if (err)
		return err;
	open_stores(w, r);
	err = bring_all(w, r);
	if (!err && r->done)
		err = record(w, db, r);
	return err ? err : settle(w, db, r);
}

struct many {
	const struct custody *c;
	struct custody_apps *apps;
	const int64_t *ids;
	struct custody_persisted *persisted;
	size_t left[CUSTODY_DISTRIBUTE_MAX]; /* places of those that are not done */
	size_t count;
};

static struct custody_persisted persisted_of(const struct distribution *d)
{
	const int holds = d->row->generation != 0;

	return (struct custody_persisted){
		holds, holds && !d->copy.err, holds && !d->environment.err, is_whole(d)};
}

/* Says what was committed; what there was no time for is left. */
static void publish(struct many *m, const struct round *r)
{
	m->count = 0;
	for (size_t i = 0; i < r->n; i++) {
		struct custody_persisted *persisted = &m->persisted[m->left[i]];
		size_t at = 0;

		while (at < r->count && r->each[at].row->connection_id != r->ids[i])
			at++;
		if (at == r->count)
			*persisted = (struct custody_persisted){0};
		else if (at < r->done)
			*persisted = persisted_of(&r->each[at]);
		else
			m->left[m->count++] = m->left[i];
	}
}

/* One transaction: as many of those that are left as can be done while others wait. */
static enum err run_round(struct work *w, struct many *m)
{
	int64_t ids[CUSTODY_DISTRIBUTE_MAX];
	struct round r = {.c = m->c, .apps = m->apps, .ids = ids, .n = m->count};
	struct work own;
	enum err err;

	for (size_t i = 0; i < m->count; i++)
		ids[i] = m->ids[m->left[i]];
	work_begin(&own, work_left_ms(w));
	own.origin = w->origin;
	err = store_db_transaction(&own, m->c->db, distribute, &r);
	if (err) {
		work_cause(w, err, "%s", own.cause ? own.cause : err_slug(err));
		w->retry_after_s = own.retry_after_s;
	} else
		publish(m, &r);
	work_end(&own);
	return err;
}

enum err custody_distribute_many(struct work *w, const struct custody *c, const int64_t *ids,
	size_t n, struct custody_persisted *persisted)
{
	struct many m = {.c = c, .ids = ids, .persisted = persisted, .count = n};
	struct work shared;
	enum err err;

	if (n > CUSTODY_DISTRIBUTE_MAX)
		return work_cause(w, ERR_BUG, "%zu connections at once", n);
	for (size_t i = 0; i < n; i++) {
		persisted[i] = (struct custody_persisted){.database = 1};
		m.left[i] = i;
	}
	err = store_db_ready(w, c->db);
	work_begin(&shared, work_left_ms(w));
	m.apps = custody_apps_new(&shared);
	while (!err && m.count)
		err = run_round(w, &m);
	work_end(&shared);
	return err;
}

enum err custody_distribute(struct work *w, const struct custody *c, int64_t connection_id,
	struct custody_persisted *persisted)
{
	return custody_distribute_many(w, c, &connection_id, 1, persisted);
}
