/* Taking a trial's token into custody, or writing down why not. It decides that a token which cost
 * another one is not lost for want of one commit. */
#include "custody/keep.h"

#include "base/jout.h"
#include "base/log.h"
#include "base/text.h"
#include "custody/lane.h"
#include "custody/token.h"
#include "store/audit.h"
#include "store/report.h"
#include "store/token.h"
#include "vault/fingerprint.h"

#define SIDE_MS 5000
#define TRIES 3
#define DETAIL_MAX_BYTES 1024

static int is_away(enum err err)
{
	return err == ERR_DB_AWAY || err == ERR_DB_TIMEOUT;
}

/* Whether a commit whose answer was lost was one after all: the very token is there. */
static int is_stored(
	const struct work *w, const struct custody *c, const struct custody_acceptance *asked)
{
	const struct custody_token_place place = {
		asked->client, asked->provider->name, "access", asked->generation};
	struct store_current current;
	struct secret *access = NULL;
	struct work side;
	int stored;

	work_begin(&side, SIDE_MS);
	side.origin = w->origin;
	stored = asked->generation && !store_db_ready(&side, c->db) &&
		 !store_token_current(&side, c->db, asked->connection_id, &current) &&
		 current.generation == asked->generation &&
		 !custody_token_open(&side, c, &place, &current.access, &access) && access &&
		 secret_equal(access, asked->token->access);
	work_end(&side);
	return stored;
}

static enum err accept(struct work *w, const struct custody *c, struct custody_acceptance *asked)
{
	enum err err = custody_accept(w, c, asked);

	for (int i = 1; is_away(err) && i < TRIES && work_left_ms(w) > SIDE_MS; i++) {
		if (is_stored(w, c, asked))
			err = ERR_OK;
		else {
			work_forgive(w);
			err = custody_accept(w, c, asked);
		}
	}
	return is_away(err) && is_stored(w, c, asked) ? ERR_OK : err;
}

/* Whoever waits behind a gate need not wait longer. */
static void note_good(struct work *w, const struct custody *c, const struct custody_trial *trial)
{
	enum err err = ERR_OK;

	if (trial->refresh)
		err = custody_lane_good(w, c, trial->provider, trial->datacenter, trial->app_id);
	if (err)
		log_event(LOG_WARN, "gate.not_noted", LOG_TEXT("error", err_slug(err)),
			LOG_TEXT("why", w->cause));
	work_forgive(w);
}

enum err custody_keep(struct work *w, const struct custody *c, const struct custody_trial *trial,
	struct custody_acceptance *asked, struct custody_persisted *persisted, const char **status)
{
	const char *cause = NULL;
	enum err err;

	asked->app_id = trial->app_id;
	asked->provider = trial->provider;
	asked->datacenter = trial->datacenter;
	asked->token = &trial->token;
	asked->cause = trial->cause;
	asked->asked_ms = trial->asked_ms;
	asked->account = trial->account;
	asked->is_all = 1;
	asked->is_mint = trial->refresh != NULL;
	asked->spent = trial->is_replaced ? trial->refresh : NULL;
	err = accept(w, c, asked);
	if (err)
		return err;
	work_forgive(w);
	note_good(w, c, trial);
	err = custody_distribute(w, c, asked->connection_id, persisted);
	if (!err)
		err = store_report_one(w, c->db, asked->connection_id, status, &cause);
	if (err) /* the token is stored: the next run brings the other stores up to date */
		log_event(LOG_ERROR, "distribute.failed", LOG_TEXT("request", w->origin.request_id),
			LOG_TEXT("error", err_slug(err)), LOG_TEXT("why", w->cause));
	work_forgive(w);
	return ERR_OK;
}

/* --- refusals -----------------------------------------------------------------------------------
 */

static const char *detail_of(struct work *w, const struct custody_trial *trial, enum err err)
{
	struct buf buf;
	struct jout j;

	buf_init(&buf, w, DETAIL_MAX_BYTES);
	jout_init(&j, &buf);
	jout_object(&j, NULL);
	jout_text(&j, "error", err_slug(err));
	jout_text(&j, "cause", trial->finding ? trial->finding : err_slug(err));
	if (trial->code && *trial->code)
		jout_text(&j, "code", trial->code);
	if (trial->datacenter && *trial->datacenter)
		jout_text(&j, "datacenter", trial->datacenter);
	if (trial->offered)
		jout_text(&j, "offered", trial->offered);
	jout_end_object(&j);
	return buf.overflow ? NULL : buf.data;
}

static enum err write_declined(struct work *w, const struct custody *c,
	const struct custody_declined *declined, enum err why)
{
	const struct custody_trial *trial = declined->trial;
	const struct secret *given = trial->refresh ? trial->refresh : trial->access;
	enum err err = store_db_ready(w, c->db);

	return err ? err
		   : store_audit_add(w, c->db,
			     &(struct store_event){.action = declined->action,
				     .outcome = err_status(why) < 500 ? "denied" : "error",
				     .client = declined->client,
				     .provider = trial->provider->name,
				     .connection_id = declined->connection_id,
				     .generation = declined->generation,
				     .fingerprint =
					     given ? vault_fingerprint(w, c->keyring, given) : NULL,
				     .reason = declined->reason,
				     .detail_json = detail_of(w, trial, why)});
}

enum err custody_keep_declined(struct work *w, const struct custody *c,
	const struct custody_declined *declined, enum err err)
{
	struct work side;

	work_begin(&side, SIDE_MS);
	side.origin = w->origin;
	if (write_declined(&side, c, declined, err))
		log_event(LOG_ERROR, "audit.not_written", LOG_TEXT("action", declined->action),
			LOG_TEXT("request", w->origin.request_id), LOG_TEXT("why", side.cause));
	work_end(&side);
	return err;
}
