/*
 * Overrides. It decides what is tried, where, and that nothing is touched before it has proved
 * itself; what a refusal means is the trial's to say.
 */
#include "custody/override.h"

#include "base/text.h"
#include "custody/account.h"
#include "custody/keep.h"
#include "store/audit.h"
#include "store/client.h"
#include "store/connection.h"
#include "store/report.h"
#include "store/token.h"

#define BUSY_S 2

struct overriding {
	const struct custody *c;
	struct custody_override *asked;
	const struct oauth_provider *provider;
	struct store_current current; /* connection_id 0: there is no connection yet */
	struct custody_trial trial;
	struct custody_keeping keeping;
};

static enum err check_input(struct work *w, const struct overriding *o)
{
	const struct custody_override *asked = o->asked;

	if (!asked->refresh && !asked->access)
		return work_fail_field(w, "refresh_token",
			"is missing, and so is access_token: one of them is needed");
	if (asked->accept_account && !custody_account_is_fingerprint(asked->accept_account))
		return work_fail_field(w, "acceptAccount", "is no fingerprint");
	if (asked->datacenter && !oauth_provider_datacenter(o->provider, asked->datacenter))
		return work_fail_field(w, "datacenter", "is not one of this provider's");
	return ERR_OK;
}

static enum err find_connection(struct work *w, struct overriding *o)
{
	int64_t id = 0;
	enum err err = store_client_get(w, o->c->db, o->asked->client, NULL);

	if (!err)
		err = store_connection_find(w, o->c->db, o->asked->client, o->provider->name, &id);
	if (!err)
		err = store_token_current(w, o->c->db, id, &o->current);
	return err == ERR_CONNECTION_UNKNOWN ? ERR_OK : err; /* an administrator may connect */
}

/* The data centre that was named, else the one where the connection lives, else the app's. */
static enum err find_place(struct work *w, struct overriding *o)
{
	const struct store_current *current = &o->current;
	struct custody_trial *trial = &o->trial;
	struct store_app app;
	const char *first =
		o->provider->default_datacenter ? o->provider->default_datacenter->name : "";
	enum err err =
		store_app_find(w, o->c->db, o->provider->name, o->asked->client, first, &app);

	if (err)
		return err;
	trial->app_id = app.id;
	trial->datacenter = o->asked->datacenter ? o->asked->datacenter
			    : current->app_id    ? current->datacenter
						 : app.datacenter;
	if (current->app_id && text_equal(current->datacenter, trial->datacenter))
		trial->api_domain = current->api_domain;
	return ERR_OK;
}

static enum err check_dry_run(struct work *w, struct overriding *o)
{
	if (!o->asked->is_dry_run || !o->asked->refresh ||
		o->provider->rotation == OAUTH_ROTATION_NEVER)
		return ERR_OK;
	o->trial.finding = "cannot_try";
	return work_fail(w, ERR_CANNOT_TRY,
		"%s replaces a refresh token when it is used: trying it without keeping what "
		"comes of it would lose it. Override without dryRun.",
		o->provider->name);
}

static enum err try_in_place(struct work *w, struct overriding *o)
{
	struct custody_place place = {-1, -1};
	enum err err;

	if (o->asked->places &&
		!custody_place_to_renew(w, o->c, o->asked->places, o->provider->name, &place)) {
		w->retry_after_s = BUSY_S;
		o->trial.finding = "busy";
		return work_fail(w, ERR_RENEWAL_DEFERRED,
			"Too many renewals are on their way. Nothing was tried; try again in a "
			"moment.");
	}
	err = custody_keep_begin(w, o->c, &o->trial, &o->keeping);
	if (!err)
		err = custody_trial(w, o->c, &o->trial);
	custody_place_leave(&place);
	return err;
}

/* --- what comes of it
 * ----------------------------------------------------------------------------- */

static enum err connect(struct work *w, struct store_db *db, void *context)
{
	struct overriding *o = context;
	int is_new = 0;
	enum err err = store_client_get(w, db, o->asked->client, NULL);

	if (!err)
		err = store_connection_ensure(w, db, o->asked->client, o->provider->name,
			&o->current.connection_id, &is_new);
	if (err || !is_new)
		return err;
	return store_audit_add(w, db,
		&(struct store_event){.action = "connection.added",
			.client = o->asked->client,
			.provider = o->provider->name,
			.connection_id = o->current.connection_id,
			.reason = o->asked->reason});
}

static enum err keep(struct work *w, struct overriding *o)
{
	struct custody_override *asked = o->asked;
	struct custody_acceptance acceptance = {.client = asked->client,
		.kept_json = o->current.kept_json ? o->current.kept_json : "{}",
		.action = "token.override",
		.reason = asked->reason,
		.accept_account = asked->accept_account};
	enum err err = store_db_ready(w, o->c->db);

	if (!err && !o->current.connection_id)
		err = store_db_transaction(w, o->c->db, connect, o);
	acceptance.connection_id = o->current.connection_id;
	if (!err)
		err = custody_keep(w, o->c, &o->keeping, &o->trial, &acceptance, &asked->persisted,
			&asked->status);
	asked->generation = acceptance.generation;
	return err;
}

/* Tried, and kept nowhere; a refresh was a request for a token all the same. */
static enum err note_dry_run(struct work *w, struct store_db *db, void *context)
{
	const struct overriding *o = context;
	const int64_t id = o->current.connection_id;
	struct store_connection connection = {0};
	enum err err = id ? store_connection_lock(w, db, id, &connection) : ERR_OK;

	if (!err)
		err = custody_account_check(w, o->c, o->provider, connection.account,
			o->trial.account, o->asked->accept_account);
	if (!err && id && o->asked->refresh)
		err = store_connection_mint(w, db, id);
	if (err)
		return err;
	return store_audit_add(w, db,
		&(struct store_event){.action = "token.override",
			.client = o->asked->client,
			.provider = o->provider->name,
			.connection_id = id,
			.reason = o->asked->reason,
			.detail_json = "{\"dryRun\":true}"});
}

static enum err end_dry_run(struct work *w, struct overriding *o)
{
	const char *cause = NULL;
	enum err err = store_db_ready(w, o->c->db);

	if (!err)
		err = store_db_transaction(w, o->c->db, note_dry_run, o);
	o->asked->generation = o->current.generation;
	o->asked->status = "missing";
	if (!err && o->current.connection_id)
		err = store_report_one(
			w, o->c->db, o->current.connection_id, &o->asked->status, &cause);
	return err;
}

enum err custody_override(struct work *w, const struct custody *c, struct custody_override *asked)
{
	struct overriding o = {.c = c, .asked = asked};
	enum err err = custody_provider(w, c, asked->provider, &o.provider);

	if (!err)
		err = check_input(w, &o);
	if (!err)
		err = find_connection(w, &o);
	o.trial = (struct custody_trial){.connection_id = o.current.connection_id,
		.provider = o.provider,
		.refresh = asked->refresh,
		.access = asked->access,
		.expires_in_s = asked->expires_in_s};
	if (!err)
		err = find_place(w, &o);
	if (err)
		return err;
	err = check_dry_run(w, &o);
	if (!err)
		err = try_in_place(w, &o);
	if (!err)
		err = asked->is_dry_run ? end_dry_run(w, &o) : keep(w, &o);
	custody_keep_end(&o.keeping, err);
	if (!err)
		return ERR_OK;
	return custody_keep_declined(w, c,
		&(struct custody_declined){"token.override_refused", asked->client,
			o.current.connection_id, asked->reason, &o.trial, 0},
		err);
}
