/*
 * One renewal. It decides the order that no crash can upset: the intent before the request, the
 * answer in the spool before anybody is told; and which failure is whose.
 */
#include "custody/job.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "custody/token.h"
#include "oauth/answer.h"
#include "oauth/scope.h"
#include "oauth/token_request.h"

#include <string.h>

#define BROKEN_WAIT_S 300

static const char *const why_names[] = {[CUSTODY_WHY_DUE] = "due",
	[CUSTODY_WHY_ALL] = "all",
	[CUSTODY_WHY_READ] = "read",
	[CUSTODY_WHY_REJECTED] = "rejected",
	[CUSTODY_WHY_ADMIN] = "admin",
	[CUSTODY_WHY_CHECK] = "check"};

const char *custody_why_name(enum custody_why why)
{
	return why_names[why];
}

/* --- beginning ------------------------------------------------------------------------------- */

static const char *copy(struct work *w, const char *text)
{
	return text ? work_strdup(w, text) : NULL;
}

static void take_claim(struct custody_job *job, const struct store_claim *claim)
{
	struct work *w = &job->w;
	struct store_claim *own = &job->claim;
	unsigned char *bytes = work_alloc(w, claim->refresh.n + 1);

	*own = *claim;
	own->client = copy(w, claim->client);
	own->provider = copy(w, claim->provider);
	own->datacenter = copy(w, claim->datacenter);
	own->api_domain = copy(w, claim->api_domain);
	own->scope = copy(w, claim->scope);
	own->state = copy(w, claim->state);
	own->cause = copy(w, claim->cause);
	own->claimed_at = copy(w, claim->claimed_at);
	own->provider_gate.version = copy(w, claim->provider_gate.version);
	own->app_gate.version = NULL;
	memcpy(bytes, claim->refresh.bytes, claim->refresh.n);
	own->refresh.bytes = bytes;
}

/* The connection stays as it is. */
static void conclude(struct custody_job *job, enum custody_outcome outcome, int64_t wait_s,
	const char *deferred_by, const char *code)
{
	job->stage = CUSTODY_JOB_DONE;
	job->judgement = (struct custody_judgement){
		.outcome = outcome,
		.state = job->claim.state,
		.cause = job->claim.cause,
		.wait_s = wait_s,
		.deferred_by = deferred_by,
		.refusals = job->claim.refusals,
	};
	job->outcome = (struct oauth_outcome){.verdict = OAUTH_RETRY};
	memcpy(job->outcome.code, code, strnlen(code, OAUTH_CODE_MAX_BYTES));
}

void custody_job_defer(struct custody_job *job, struct custody_shop *shop, int64_t wait_s,
	const char *deferred_by, const char *code)
{
	if (job->lanes.provider)
		custody_lane_left(&job->lanes, job);
	if (job->has_slot)
		vault_spool_clear(shop->spool, job->slot);
	job->has_slot = 0;
	conclude(job, CUSTODY_DEFERRED, wait_s, deferred_by, code);
}

/* What is stored of the grant does not open: nobody's to send, and a person's to mend. */
static void unreadable(struct custody_job *job)
{
	conclude(job, CUSTODY_UNREADABLE, -1, NULL, "sealed_unreadable");
	job->judgement.state = "quarantined";
	job->judgement.cause = "sealed_unreadable";
	job->judgement.needs_incident = 1;
}

static enum err open_refresh(struct custody_job *job, const struct custody_shop *shop)
{
	const struct custody_token_place place = {
		job->claim.client, job->claim.provider, "refresh", job->claim.generation};
	enum err err =
		custody_token_open(&job->w, shop->c, &place, &job->claim.refresh, &job->refresh);

	if (err == ERR_SEALED)
		unreadable(job);
	return err;
}

static enum err compose(struct custody_job *job, const struct custody_shop *shop)
{
	struct oauth_http_request *request = &job->request;
	enum err err = job->is_proving_app ? oauth_token_request_app_proof(&job->w, &job->target,
						     &job->app->oauth, request)
					   : oauth_token_request_refresh(&job->w, &job->target,
						     &job->app->oauth, job->refresh, request);

	request->total_ms = conf_number(shop->c->conf, CONF_provider_timeout_s) * 1000;
	request->allow_loopback = job->provider->allow_loopback_http;
	/* where a request that arrived twice would spend a refresh token twice, none ever may */
	request->may_reuse = job->provider->rotation == OAUTH_ROTATION_NEVER;
	return err;
}

static enum err reserve(struct custody_job *job, struct custody_shop *shop)
{
	const struct vault_spool_key key = {
		job->claim.connection_id, job->claim.fence, job->claim.generation};
	struct secret *intent = NULL;
	enum err err = custody_journal_intent(&job->w, &job->claim, why_names[job->why], &intent);

	if (!err)
		err = vault_spool_reserve(&job->w, shop->spool, &key, intent, &job->slot);
	job->has_slot = !err;
	return err;
}

static enum err get_ready(struct custody_job *job, struct custody_shop *shop)
{
	const struct oauth_datacenter *datacenter =
		oauth_provider_datacenter(job->provider, job->claim.datacenter);
	enum err err = custody_apps_at(&job->w, shop->c, shop->apps, job->provider,
		job->claim.app_id, datacenter, &job->app);

	if (err)
		return err;
	job->target = job->app->target;
	job->target.api_domain = job->claim.api_domain;
	err = open_refresh(job, shop);
	return err ? err : compose(job, shop);
}

/* Whether an error is of this connection alone; whatever is not ends more than one renewal. */
static int is_own(enum err err)
{
	return err == ERR_SEALED || err == ERR_APP_MISSING || err == ERR_CONFIG ||
	       err == ERR_KEY_UNKNOWN || err == ERR_NO_MEMORY || err == ERR_TOO_LARGE ||
	       err == ERR_BUG;
}

static enum err prepare(struct custody_job *job, struct custody_shop *shop)
{
	int64_t wait_s = custody_judge_quota(job->provider, &job->claim, job->why);
	enum err err;

	if (wait_s) {
		custody_job_defer(job, shop, wait_s, "quota", "mint_quota");
		return ERR_OK;
	}
	err = get_ready(job, shop);
	if (job->stage == CUSTODY_JOB_DONE)
		return ERR_OK;
	if (err) {
		log_event(LOG_ERROR, "renewal.not_possible", LOG_TEXT("client", job->claim.client),
			LOG_TEXT("provider", job->claim.provider), LOG_TEXT("error", err_slug(err)),
			LOG_TEXT("why", job->w.cause));
		custody_job_defer(job, shop, is_own(err) ? BROKEN_WAIT_S : -1,
			is_own(err) ? "backoff" : NULL, err_slug(err));
		return is_own(err) ? ERR_OK : err;
	}
	err = reserve(job, shop);
	if (err) /* all slots are taken by what could not be written: the next run has new ones */
		custody_job_defer(job, shop, err == ERR_CONFLICT ? BROKEN_WAIT_S : -1,
			err == ERR_CONFLICT ? "backoff" : NULL, err_slug(err));
	return err == ERR_CONFLICT ? ERR_OK : err;
}

/* What a lease has beyond the provider's time is shared by what comes before and after the answer.
 */
static int64_t budget_ms(const struct custody_shop *shop)
{
	const int64_t lease_ms = (conf_number(shop->c->conf, CONF_lease_s) +
					 conf_number(shop->c->conf, CONF_provider_timeout_s)) *
				 500;

	return lease_ms < shop->left_ms ? lease_ms : shop->left_ms;
}

static void take(
	struct custody_job *job, const struct custody_shop *shop, const struct store_claim *claim)
{
	memset(job, 0, sizeof(*job));
	work_begin(&job->w, budget_ms(shop));
	job->why = shop->why;
	job->stage = CUSTODY_JOB_READY;
	take_claim(job, claim);
}

void custody_job_decline(
	struct custody_job *job, struct custody_shop *shop, const struct store_claim *claim)
{
	take(job, shop, claim);
	custody_job_defer(job, shop, -1, NULL, "declined");
}

enum err custody_job_begin(
	struct custody_job *job, struct custody_shop *shop, const struct store_claim *claim)
{
	take(job, shop, claim);
	job->provider = oauth_provider_find(shop->c->providers, claim->provider);
	if (!job->provider) {
		custody_job_defer(job, shop, BROKEN_WAIT_S, "backoff", "definition_missing");
		return ERR_OK;
	}
	custody_lanes_of(shop->lanes, job->provider, &job->claim, &job->lanes);
	return prepare(job, shop);
}

/* --- asking ---------------------------------------------------------------------------------- */

static enum err start(struct custody_job *job, const struct custody_shop *shop)
{
	job->sent_ms = clock_monotonic_ms();
	job->stage = CUSTODY_JOB_SENT;
	job->was_asked |= !job->is_proving_app;
	return oauth_http_start(&job->w, shop->c->http, &job->request, &job->answer, job);
}

/* A request that could still be on its way when the lease ends is not begun: somebody else could
 * send the same. */
static int is_late(const struct custody_job *job)
{
	return work_left_ms(&job->w) < job->request.total_ms;
}

enum err custody_job_send(struct custody_job *job, struct custody_shop *shop, int *wait)
{
	enum custody_pass pass = CUSTODY_PASS_SHUT;
	const char *cause = NULL;
	int64_t wait_s = 0;
	enum err err;

	*wait = 0;
	if (is_late(job)) {
		custody_job_defer(job, shop, -1, NULL, "lease_too_short");
		return ERR_OK;
	}
	err = custody_lane_enter(&job->w, shop->c, &job->lanes, job, &pass, &wait_s, &cause);
	*wait = pass == CUSTODY_PASS_WAIT;
	if (err || *wait)
		return err;
	if (pass == CUSTODY_PASS_SHUT) {
		custody_job_defer(job, shop, wait_s, "gate", cause ? cause : "gate");
		return ERR_OK;
	}
	job->is_proving_app = pass == CUSTODY_PASS_PROVE_APP;
	err = job->is_proving_app ? compose(job, shop) : ERR_OK;
	if (!err)
		err = start(job, shop);
	if (err) {
		log_event(LOG_ERROR, "renewal.not_sent", LOG_TEXT("client", job->claim.client),
			LOG_TEXT("provider", job->claim.provider), LOG_TEXT("why", job->w.cause));
		custody_job_defer(job, shop, BROKEN_WAIT_S, "backoff", err_slug(err));
	}
	return ERR_OK;
}

/* --- answers --------------------------------------------------------------------------------- */

/* A different scope has to be honoured, and a person to be told. Source: RFC 6749 section 3.3. */
static const char *scope_is(const struct custody_job *job, const char *scope)
{
	if (!scope)
		return "unsaid";
	if (job->claim.scope && !oauth_scope_holds(scope, job->claim.scope))
		return "shrunk";
	return oauth_scope_covers(scope, job->provider) ? "whole" : "unsaid";
}

static void fill_fresh(
	struct custody_job *job, const struct custody_shop *shop, const struct oauth_token *token)
{
	const struct store_claim *claim = &job->claim;
	const int64_t period_s = conf_number(shop->c->conf, CONF_refresh_period_s);

	job->fresh = (struct custody_fresh){
		.connection_id = claim->connection_id,
		.fence = claim->fence,
		.from = claim->generation,
		.to = claim->last_generation + 1,
		.client = claim->client,
		.provider = claim->provider,
		.access = token->access,
		/* what is not repeated stays. Source: RFC 6749 section 6 */
		.refresh = token->refresh ? token->refresh : job->refresh,
		.token_type = token->token_type,
		.lifetime_s = token->expires_in_s,
		.refresh_lifetime_s = token->refresh_expires_in_s,
		.idle_ttl_s = job->provider->idle_ttl_s,
		.asked_at = claim->claimed_at,
		.api_domain = token->api_domain,
		.scope = token->scope,
		.scope_is = scope_is(job, token->scope),
		.margin_s = job->provider->renew_before_s,
		.late_s = 2 * period_s,
		.why = why_names[job->why],
	};
}

/* The answer is in the slot before anything else is done with it. When even that fails, it still
 * goes on to the database: what is in memory is not lost yet. */
static void keep_answer(struct custody_job *job, struct custody_shop *shop)
{
	const struct vault_spool_key key = {
		job->claim.connection_id, job->claim.fence, job->claim.generation};
	struct secret *answer = NULL;
	enum err err = custody_journal_answer(&job->w, &job->fresh, &answer);

	if (!err)
		err = vault_spool_answer(&job->w, shop->spool, job->slot, &key, answer);
	if (err)
		log_event(LOG_ERROR, "spool.answer_not_kept", LOG_TEXT("client", job->claim.client),
			LOG_TEXT("provider", job->claim.provider), LOG_TEXT("error", err_slug(err)),
			LOG_TEXT("why", job->w.cause));
}

static enum err read_token(struct custody_job *job, struct custody_shop *shop, const json_t *body)
{
	struct oauth_token token;
	enum err err = oauth_token_response_read(
		&job->w, job->provider, job->target.datacenter, body, &token);

	if (err)
		return err;
	fill_fresh(job, shop, &token);
	keep_answer(job, shop);
	return ERR_OK;
}

static void note_answer(const struct custody_job *job)
{
	log_event(job->outcome.verdict == OAUTH_OK ? LOG_DEBUG : LOG_INFO, "provider.answered",
		LOG_TEXT("provider", job->claim.provider), LOG_TEXT("client", job->claim.client),
		LOG_TEXT("at", job->is_proving_app ? "app_proof" : "token"),
		LOG_INT("status", job->answer.status), LOG_TEXT("transport", job->answer.cause),
		LOG_TEXT("verdict", oauth_verdict_name(job->outcome.verdict)),
		LOG_TEXT("code", job->outcome.code), LOG_INT("ms", job->asked_took_ms));
}

/* The provider's word on the app is final; on the connection, only when the app is beyond doubt. */
static void judged(struct custody_job *job)
{
	custody_lane_answered(&job->lanes, job, &job->outcome);
	custody_judge(job->provider, &job->claim, &job->outcome, 0, &job->judgement);
	if (job->judgement.outcome == CUSTODY_RENEWED)
		job->judgement.cause =
			text_equal(job->fresh.scope_is, "shrunk") ? "scope_missing" : "none";
	if (job->judgement.outcome == CUSTODY_APP)
		job->judgement.wait_s = custody_lane_shut_s(job->lanes.app);
	job->stage = CUSTODY_JOB_DONE;
}

static void send_again(struct custody_job *job, struct custody_shop *shop, int proving)
{
	enum err err;

	job->is_proving_app = proving;
	err = is_late(job) ? ERR_DB_TIMEOUT : compose(job, shop);
	if (!err)
		err = start(job, shop);
	if (!err)
		return;
	custody_lane_left(&job->lanes, job);
	job->outcome = (struct oauth_outcome){.verdict = OAUTH_RETRY};
	memcpy(job->outcome.code, "out_of_time", sizeof("out_of_time"));
	custody_judge(job->provider, &job->claim, &job->outcome, 0, &job->judgement);
	job->stage = CUSTODY_JOB_DONE;
}

/* What came of the proof, when it is not that the app is good. It says nothing of the grant. */
static void stay_in_doubt(struct custody_job *job)
{
	if (job->outcome.verdict == OAUTH_OK) { /* whoever takes a made-up code proves nothing */
		job->outcome = (struct oauth_outcome){.verdict = OAUTH_RETRY, .is_unknown = 1};
		memcpy(job->outcome.code, "code_accepted", sizeof("code_accepted"));
	}
	job->outcome.maybe_done = 0;
}

/* A made-up code was exchanged: refused as a code, it proves the app. */
static void app_answered(struct custody_job *job, struct custody_shop *shop)
{
	if (job->outcome.verdict != OAUTH_DEAD) {
		stay_in_doubt(job);
		judged(job);
		return;
	}
	custody_lane_app_proved(&job->lanes);
	if (!job->was_asked) {
		send_again(job, shop, 0);
		return;
	}
	job->outcome = job->doubted;
	job->outcome.verdict = OAUTH_DEAD;
	judged(job);
}

void custody_job_answered(struct custody_job *job, struct custody_shop *shop)
{
	const struct oauth_question question = {job->provider, OAUTH_AT_TOKEN,
		job->is_proving_app ? OAUTH_GRANT_CODE : OAUTH_GRANT_REFRESH};
	const json_t *body = oauth_answer_parse(&job->w, &job->answer);

	job->asked_took_ms = clock_monotonic_ms() - job->sent_ms;
	oauth_outcome_judge(&question, &job->answer, body, &job->outcome);
	note_answer(job);
	if (job->is_proving_app) {
		app_answered(job, shop);
		return;
	}
	if (job->outcome.verdict == OAUTH_DEAD_OR_APP) {
		job->doubted = job->outcome;
		custody_lane_doubt_app(&job->lanes, job);
		send_again(job, shop, 1);
		return;
	}
	if (job->outcome.verdict == OAUTH_OK && read_token(job, shop, body)) {
		/* it came, and cannot be held: a rotating provider may have spent the old one */
		job->outcome = (struct oauth_outcome){.verdict = OAUTH_RETRY, .maybe_done = 1};
		memcpy(job->outcome.code, "not_kept", sizeof("not_kept"));
	}
	judged(job);
}

/* --- the end --------------------------------------------------------------------------------- */

void custody_job_end(struct custody_job *job, struct custody_shop *shop, int is_settled)
{
	if (job->has_slot && (is_settled || !job->sent_ms))
		vault_spool_clear(shop->spool, job->slot);
	work_end(&job->w);
	memset(job, 0, sizeof(*job));
}

void custody_job_tell(const struct custody_job *job, struct custody_renewal *renewal)
{
	const struct custody_judgement *j = &job->judgement;
	int is_new = j->outcome == CUSTODY_RENEWED && job->settled <= STORE_REPEATED;

	*renewal = (struct custody_renewal){
		.connection_id = job->claim.connection_id,
		.generation = is_new ? job->fresh.to : job->claim.generation,
		.client = job->claim.client,
		.provider = job->claim.provider,
		.outcome = j->outcome,
		.cause = j->cause,
		.code = j->outcome == CUSTODY_RENEWED ? "" : job->outcome.code,
		.wait_s = j->wait_s,
		.ms = job->asked_took_ms,
	};
	if (j->outcome == CUSTODY_RENEWED && !is_new)
		renewal->outcome = CUSTODY_SUPERSEDED;
	else if (j->outcome == CUSTODY_APP)
		renewal->cause = "app_credentials";
}
