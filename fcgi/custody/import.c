/*
 * Imports. It decides which of the tokens are tried, and by what, so that an old owner who still
 * renews them loses nothing; and that a connection comes to be only with a token that lives.
 */
#include "custody/import.h"

#include "base/text.h"
#include "custody/account.h"
#include "custody/keep.h"
#include "custody/onboard.h"
#include "store/audit.h"
#include "store/client.h"
#include "store/connection.h"
#include "store/token.h"

#define IMPORTED "token.imported"

struct importing {
	const struct custody *c;
	struct custody_import *asked;
	const struct oauth_provider *provider;
	struct store_current current; /* connection_id 0: there is no connection yet */
	int has_client;
	struct custody_trial trial;
	struct custody_keeping keeping;
};

/* --- checking --------------------------------------------------------------------------------- */

/* Whether using the refresh token might take it from whoever else has it. */
static int may_spend(const struct custody_import *asked, const struct oauth_provider *provider)
{
	return (asked->is_passive || asked->is_dry_run) &&
	       provider->rotation != OAUTH_ROTATION_NEVER;
}

static void check_datacenter(
	struct work *w, const struct custody_import *asked, const struct oauth_provider *provider)
{
	if (asked->datacenter && !oauth_provider_datacenter(provider, asked->datacenter))
		(void)work_fail_field(w, "datacenter", "is not one of this provider's");
	else if (!asked->datacenter && provider->datacenter_count > 1)
		(void)work_fail_field(w, "datacenter",
			"is missing: the provider has several, and asking each would use up its "
			"quota");
}

enum err custody_import_check(
	struct work *w, const struct custody *c, const struct custody_import *asked)
{
	const struct oauth_provider *provider = NULL;

	if (!asked->client)
		(void)work_fail_field(w, "clientId", "is missing");
	else if (!text_is_client_id(asked->client))
		(void)work_fail_field(w, "clientId", "is not a client id");
	if (!asked->provider)
		(void)work_fail_field(w, "provider", "is missing");
	else
		provider = oauth_provider_find(c->providers, asked->provider);
	if (asked->provider && !provider)
		(void)work_fail_field(w, "provider", "is not a known provider");
	if (!asked->refresh && !asked->access)
		(void)work_fail_field(w, "refresh_token",
			"is missing, and so is access_token: one of them is needed");
	if (provider)
		check_datacenter(w, asked, provider);
	if (provider && asked->is_passive && !asked->access && may_spend(asked, provider))
		(void)work_fail_field(w, "access_token",
			"is missing: the provider may replace a refresh token that is used, so "
			"that "
			"a passive one is proved by its access token");
	return w->fault_count ? ERR_INPUT : ERR_OK;
}

/* --- trying ----------------------------------------------------------------------------------- */

static enum err find_connection(struct work *w, struct importing *i)
{
	const struct custody_import *asked = i->asked;
	int64_t id = 0;
	enum err err = store_client_get(w, i->c->db, asked->client, NULL);

	i->has_client = !err;
	if (!err)
		err = store_connection_find(w, i->c->db, asked->client, asked->provider, &id);
	if (!err)
		err = store_token_current(w, i->c->db, id, &i->current);
	return (err == ERR_CLIENT_UNKNOWN || err == ERR_CONNECTION_UNKNOWN) && asked->may_create
		       ? ERR_OK
		       : err;
}

static enum err find_app(struct work *w, struct importing *i)
{
	const struct oauth_datacenter *first = i->provider->default_datacenter;
	struct custody_trial *trial = &i->trial;
	struct store_app app;
	enum err err = store_app_find(w, i->c->db, i->provider->name, i->asked->client,
		i->asked->datacenter ? i->asked->datacenter
		: first              ? first->name
				     : "",
		&app);

	if (err)
		return err;
	trial->app_id = app.id;
	trial->datacenter = i->asked->datacenter ? i->asked->datacenter : app.datacenter;
	if (i->current.app_id && text_equal(i->current.datacenter, trial->datacenter))
		trial->api_domain = i->current.api_domain;
	return ERR_OK;
}

static struct custody_import_stop stop_of(const struct importing *i)
{
	return (struct custody_import_stop){i->trial.app_id,
		oauth_provider_datacenter(i->provider, i->trial.datacenter), i->trial.finding};
}

/* The app would be refused for this token as it was for another. */
static enum err check_stops(struct work *w, struct importing *i)
{
	const struct custody_import_stops *stops = i->asked->stops;
	const struct custody_import_stop own = stop_of(i);

	for (size_t n = 0; n < stops->n; n++)
		if (stops->of[n].app_id == own.app_id &&
			stops->of[n].datacenter == own.datacenter) {
			i->trial.finding = stops->of[n].finding;
			return work_fail(w, ERR_RENEWAL_DEFERRED,
				"The provider refused or throttled this app at an entry before. "
				"Nothing was tried; import this one again when that is mended.");
		}
	return ERR_OK;
}

static void note_stop(struct importing *i)
{
	struct custody_import_stops *stops = i->asked->stops;
	const char *finding = i->trial.finding;

	if ((text_equal(finding, "app_credentials") || text_equal(finding, "throttled")) &&
		stops->n < sizeof(stops->of) / sizeof(*stops->of))
		stops->of[stops->n++] = stop_of(i);
}

/* The refresh token that was not tried is kept beside the access token that was: they came
 * together. */
static enum err try_tokens(struct work *w, struct importing *i)
{
	struct custody_import *asked = i->asked;
	struct custody_trial *trial = &i->trial;
	enum err err;

	trial->access = asked->access;
	trial->refresh = may_spend(asked, i->provider) ? NULL : asked->refresh;
	trial->expires_in_s = asked->expires_in_s;
	if (!trial->refresh && !trial->access) {
		trial->finding = "cannot_try";
		return work_fail(w, ERR_CANNOT_TRY,
			"%s replaces a refresh token when it is used: trying it without keeping "
			"what comes of it would lose it.",
			i->provider->name);
	}
	err = check_stops(w, i);
	if (!err)
		err = custody_keep_begin(w, i->c, trial, &i->keeping);
	if (err)
		return err;
	err = custody_trial(w, i->c, trial);
	if (err) {
		note_stop(i);
		return err;
	}
	if (!trial->token.refresh && asked->refresh) {
		trial->token.refresh = asked->refresh;
		trial->token.refresh_expires_in_s = -1; /* it outlives the access token */
	}
	if (!trial->token.scope)
		trial->token.scope = asked->scope;
	return ERR_OK;
}

/* --- keeping ---------------------------------------------------------------------------------- */

static enum err create(struct work *w, struct importing *i)
{
	struct custody_onboarding client = {.client = i->asked->client};
	enum err err = i->has_client ? ERR_OK : custody_onboard(w, i->c, &client);

	if (!err)
		err = custody_onboard_connect(w, i->c, i->asked->client, i->provider->name);
	return err ? err
		   : store_connection_find(w, i->c->db, i->asked->client, i->provider->name,
			     &i->current.connection_id);
}

static enum err keep(struct work *w, struct importing *i)
{
	struct custody_import *asked = i->asked;
	struct custody_acceptance acceptance = {.client = asked->client,
		.kept_json = i->current.kept_json ? i->current.kept_json : "{}",
		.action = IMPORTED,
		.detail_json = asked->is_passive ? "{\"passive\":true}" : "{\"passive\":false}",
		.is_passive = asked->is_passive};
	enum err err = store_db_ready(w, i->c->db); /* the provider may have taken long */

	if (!err && !i->current.connection_id)
		err = create(w, i);
	acceptance.connection_id = i->current.connection_id;
	if (!err)
		err = custody_keep(w, i->c, &i->keeping, &i->trial, &acceptance, &asked->persisted,
			&asked->status);
	asked->generation = acceptance.generation;
	return err;
}

/* What a dry run can say beforehand of the account. */
static enum err check_account(struct work *w, struct store_db *db, void *context)
{
	const struct importing *i = context;
	struct store_connection connection = {0};
	enum err err = i->current.connection_id
			       ? store_connection_lock(w, db, i->current.connection_id, &connection)
			       : ERR_OK;

	return err ? err
		   : custody_account_check(
			     w, i->c, i->provider, connection.account, i->trial.account, NULL);
}

static enum err prove_and_keep(struct work *w, struct importing *i)
{
	enum err err = try_tokens(w, i);

	if (!err)
		err = i->asked->is_dry_run ? store_db_ready(w, i->c->db) : keep(w, i);
	if (!err && i->asked->is_dry_run)
		err = store_db_transaction(w, i->c->db, check_account, i);
	custody_keep_end(&i->keeping, err);
	i->asked->finding = i->trial.finding;
	if (!err || i->asked->is_dry_run)
		return err;
	return custody_keep_declined(w, i->c,
		&(struct custody_declined){.action = IMPORTED,
			.client = i->asked->client,
			.connection_id = i->current.connection_id,
			.trial = &i->trial},
		err);
}

enum err custody_import(struct work *w, const struct custody *c, struct custody_import *asked)
{
	struct importing i = {.c = c, .asked = asked};
	enum err err = custody_import_check(w, c, asked);

	if (!err)
		err = custody_provider(w, c, asked->provider, &i.provider);
	if (!err)
		err = store_db_ready(w, c->db);
	if (!err)
		err = find_connection(w, &i);
	i.trial.connection_id = i.current.connection_id;
	i.trial.provider = i.provider;
	if (!err)
		err = find_app(w, &i);
	return err ? err : prove_and_keep(w, &i);
}

/* --- taking over ------------------------------------------------------------------------------ */

struct activation {
	const char *client, *provider;
	int64_t connection_id, renew_before_s, refresh_period_s;
};

static enum err activate(struct work *w, struct store_db *db, void *context)
{
	const struct activation *a = context;
	struct store_connection connection;
	int64_t generation = 0;
	enum err err = store_connection_lock(w, db, a->connection_id, &connection);

	if (!err)
		err = store_connection_activate(w, db, a->connection_id, a->renew_before_s,
			a->refresh_period_s, &generation);
	if (!err && !generation)
		return work_fail(w, ERR_CONFLICT,
			"%s holds no passive token at %s: there is nothing to take over", a->client,
			a->provider);
	if (err)
		return err;
	return store_audit_add(w, db,
		&(struct store_event){.action = "connection.activated",
			.client = a->client,
			.provider = a->provider,
			.connection_id = a->connection_id,
			.generation = generation});
}

enum err custody_import_activate(
	struct work *w, const struct custody *c, const char *client, const char *provider)
{
	struct activation a = {.client = client,
		.provider = provider,
		.refresh_period_s = conf_number(c->conf, CONF_refresh_period_s)};
	const struct oauth_provider *known = NULL;
	enum err err = custody_provider(w, c, provider, &known);

	if (!err)
		err = store_client_get(w, c->db, client, NULL);
	if (!err)
		err = store_connection_find(w, c->db, client, provider, &a.connection_id);
	if (err)
		return err;
	a.renew_before_s = known->renew_before_s;
	return store_db_transaction(w, c->db, activate, &a);
}
