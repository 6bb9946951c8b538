/*
 * One renewal on its way, from the claim to what is to be written of it. A job asks the provider
 * and keeps the spool; it never touches the database, except to read its app.
 */
#ifndef VESTAL_CUSTODY_JOB_H
#define VESTAL_CUSTODY_JOB_H

#include "custody/app.h"
#include "custody/journal.h"
#include "custody/lane.h"
#include "oauth/token_response.h"
#include "vault/spool.h"

enum custody_job_stage {
	CUSTODY_JOB_FREE,
	CUSTODY_JOB_READY, /* its intent is in the spool; durable when is_durable */
	CUSTODY_JOB_SENT,
	CUSTODY_JOB_SETTLING, /* done, and on its way to the database */
	CUSTODY_JOB_DONE,     /* the judgement stands; an answer is durable when is_durable */
};

struct custody_job {
	struct work w; /* owns everything here; begun while the job is not free */
	enum custody_job_stage stage;
	struct store_claim claim;
	enum custody_why why;
	const struct oauth_provider *provider; /* NULL: its definition is gone */
	const struct custody_app *app;
	struct oauth_target target;
	struct custody_lane_pair lanes;
	struct secret *refresh;
	struct oauth_http_request request;
	struct oauth_http_answer answer;
	struct oauth_outcome outcome,
		doubted; /* doubted: what the app has to be proved for first */
	struct custody_judgement judgement;
	struct custody_fresh fresh; /* when it was renewed */
	size_t slot;
	int has_slot, is_durable, is_proving_app, was_asked, is_death_counted;
	int64_t sent_ms, asked_took_ms;
	enum store_settled settled; /* of a renewed one */
};

/* What all jobs of an engine share. */
struct custody_shop {
	const struct custody *c;
	struct custody_lanes *lanes;
	struct custody_apps *apps;
	struct vault_spool *spool;
	enum custody_why why;
	int64_t left_ms; /* until whoever asked has to be answered */
};

/*
 * Takes a claim (copied) and gets everything ready: quota, app, refresh token, request, intent.
 * What cannot even be asked is DONE at once, with the reason. Returns what ends more than this one
 * renewal: ERR_IO (no slot), ERR_KEY_UNKNOWN of the spool, the database's errors; the job is DONE,
 * deferred, then too.
 */
enum err custody_job_begin(struct custody_job *job, struct custody_shop *shop,
	const struct store_claim *claim) MUST_CHECK;

/* Takes a claim only to give it back: asked never, due as it was. */
void custody_job_decline(
	struct custody_job *job, struct custody_shop *shop, const struct store_claim *claim);

/* Sends it, if it may go now; *wait: another one has to be waited for. DONE when it may not at all.
 * Returns the database's errors. */
enum err custody_job_send(struct custody_job *job, struct custody_shop *shop, int *wait) MUST_CHECK;

/* Takes the answer in: judged, and sealed in the spool. Sent again when it was the app's proof. */
void custody_job_answered(struct custody_job *job, struct custody_shop *shop);

/* Gives a ready job back: asked never, due again after wait_s (-1: as it was). */
void custody_job_defer(struct custody_job *job, struct custody_shop *shop, int64_t wait_s,
	const char *deferred_by, const char *code);

/* Ends it: the slot is cleared when what it stood for is settled or was never sent, and all memory
 * wiped. */
void custody_job_end(struct custody_job *job, struct custody_shop *shop, int is_settled);

/* For whoever asked. */
void custody_job_tell(const struct custody_job *job, struct custody_renewal *renewal);

#endif
