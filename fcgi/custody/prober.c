/*
 * Probes on their way. It decides who is asked, who is asked again, and when a provider has enough
 * of it: probes never count against a gate, so that none of them keeps a renewal away.
 */
#include "custody/prober.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "custody/account.h"
#include "custody/app.h"
#include "custody/renew.h"
#include "custody/token.h"
#include "oauth/answer.h"
#include "oauth/probe.h"
#include "oauth/scope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL_MS 500
#define UNANSWERED_MAX 5 /* in a row, and nobody else of the provider's data centre is asked */
#define THROTTLED_MAX 3
#define SPARE_MS 5000

/* A provider's data centre, or an app there, as this check knows it. */
struct lane {
	struct lane *next;
	const char *provider, *datacenter;
	int64_t app_id; /* 0: the provider's own */
	int unanswered, throttled;
	int is_shut;
	struct custody_proof proof; /* of those behind it, when it is shut */
	char code[OAUTH_CODE_MAX_BYTES + 1];
};

/* A place for one probe. */
struct probe {
	struct work w;             /* owns the request and its answer */
	struct custody_probed *of; /* NULL: the place is free */
	enum oauth_at at;
	int is_of_account; /* the token lives; whose is it? */
	struct oauth_target target;
	struct secret *access;
	struct oauth_http_request request;
	struct oauth_http_answer answer;
};

/* How far a connection is. */
enum stage { STAGE_ENDED, STAGE_WAITS, STAGE_ASKED };

struct custody_prober {
	struct work *w;
	const struct custody *c;
	struct custody_probing probing;
	struct custody_apps *apps;
	struct lane *lanes;
	struct probe *probes; /* as many as may be on their way */
	size_t sent;
};

struct custody_prober *custody_prober_new(
	struct work *w, const struct custody *c, const struct custody_probing *probing)
{
	struct custody_prober *k = work_alloc(w, sizeof(*k));

	*k = (struct custody_prober){
		.w = w, .c = c, .probing = *probing, .apps = custody_apps_new(w)};
	k->probes = work_alloc(w, probing->concurrency * sizeof(*k->probes));
	memset(k->probes, 0, probing->concurrency * sizeof(*k->probes));
	return k;
}

int custody_prober_must_stop(const struct custody_prober *k)
{
	return (k->probing.stop && *k->probing.stop) ||
	       clock_monotonic_ms() >= k->probing.deadline_ms;
}

/* --- lanes ----------------------------------------------------------------------------------- */

static struct lane *lane_of(
	struct custody_prober *k, const struct store_checked *row, int64_t app_id)
{
	struct lane *lane = k->lanes;

	while (lane && (lane->app_id != app_id || !text_equal(lane->provider, row->provider) ||
			       !text_equal(lane->datacenter, row->datacenter)))
		lane = lane->next;
	if (lane)
		return lane;
	lane = work_alloc(k->w, sizeof(*lane));
	*lane = (struct lane){.next = k->lanes,
		.provider = work_strdup(k->w, row->provider),
		.datacenter = work_strdup(k->w, row->datacenter),
		.app_id = app_id};
	k->lanes = lane;
	return lane;
}

static void set_code(char code[OAUTH_CODE_MAX_BYTES + 1], const char *word)
{
	snprintf(code, OAUTH_CODE_MAX_BYTES + 1, "%s", word);
}

static void shut(struct lane *lane, const struct custody_probed *probed)
{
	lane->is_shut = 1;
	lane->proof = probed->proof;
	set_code(lane->code, probed->code);
	log_event(LOG_WARN, "check.lane_shut", LOG_TEXT("provider", lane->provider),
		LOG_TEXT("datacenter", lane->datacenter), LOG_INT("app", lane->app_id),
		LOG_TEXT("code", probed->code));
}

/* What an answer says of everybody else there. */
static void learn(struct custody_prober *k, struct custody_probed *probed)
{
	struct lane *lane = lane_of(k, &probed->row, 0);
	const enum custody_found found = probed->proof.found;

	lane->unanswered = found == CUSTODY_FOUND_UNANSWERED ? lane->unanswered + 1 : 0;
	lane->throttled = found == CUSTODY_FOUND_THROTTLED ? lane->throttled + 1 : 0;
	if (!lane->is_shut &&
		(lane->unanswered >= UNANSWERED_MAX || lane->throttled >= THROTTLED_MAX))
		shut(lane, probed);
	if (found == CUSTODY_FOUND_APP)
		shut(lane_of(k, &probed->row, probed->row.app_id), probed);
}

/* --- who is asked ----------------------------------------------------------------------------- */

static int conclude(struct custody_probed *probed, enum custody_found found, const char *cause,
	const char *code)
{
	probed->proof =
		(struct custody_proof){.found = found, .says = cause != NULL, .cause = cause};
	set_code(probed->code, code);
	return 0;
}

static int is_behind(struct custody_prober *k, struct custody_probed *probed)
{
	const struct lane *lane = lane_of(k, &probed->row, 0);

	if (!lane->is_shut)
		lane = lane_of(k, &probed->row, probed->row.app_id);
	if (!lane->is_shut)
		return 0;
	probed->proof = lane->proof;
	if (lane->proof.found == CUSTODY_FOUND_UNANSWERED) {
		probed->proof.found = CUSTODY_FOUND_SHUT;
		probed->is_provider_away = 1;
	}
	set_code(probed->code, lane->code);
	return 1;
}

int custody_prober_would_ask(struct custody_prober *k, struct custody_probed *probed)
{
	const struct store_checked *row = &probed->row;
	const struct oauth_provider *provider = oauth_provider_find(k->c->providers, row->provider);

	if (!row->generation)
		return conclude(probed, CUSTODY_FOUND_BY_ROW, NULL, "no_token");
	if (!text_equal(row->state, "live"))
		return conclude(probed, CUSTODY_FOUND_BY_ROW, NULL, row->state);
	if (!row->access_lives)
		return conclude(probed,
			row->is_renewable && !row->is_passive ? CUSTODY_FOUND_EXPIRED
							      : CUSTODY_FOUND_BY_ROW,
			NULL, "expired");
	if (!provider)
		return conclude(probed, CUSTODY_FOUND_FAULT, "our_fault", "definition_missing");
	probed->scope_is_whole = !row->scope || oauth_scope_covers(row->scope, provider);
	if (!provider->probe.url && !provider->introspect_url)
		return conclude(probed, CUSTODY_FOUND_BY_ROW, NULL, "no_probe");
	if (row->shut) {
		probed->is_provider_away = row->is_provider_shut;
		return conclude(probed, CUSTODY_FOUND_SHUT,
			row->is_provider_shut ? "provider_outage" : NULL, "gate");
	}
	return !is_behind(k, probed);
}

/* --- asking ---------------------------------------------------------------------------------- */

/* Whether an error is of this connection alone; whatever is not ends the check. */
static int is_own(enum err err)
{
	return err == ERR_SEALED || err == ERR_APP_MISSING || err == ERR_CONFIG ||
	       err == ERR_KEY_UNKNOWN || err == ERR_NO_MEMORY || err == ERR_BUG;
}

static enum err compose(struct custody_prober *k, struct probe *probe)
{
	const struct store_checked *row = &probe->of->row;
	const struct custody_token_place place = {
		row->client, row->provider, "access", row->generation};
	const struct oauth_provider *provider = oauth_provider_find(k->c->providers, row->provider);
	const struct custody_app *app = NULL;
	enum err err = custody_token_open(&probe->w, k->c, &place, &row->access, &probe->access);

	if (err == ERR_SEALED) {
		conclude(probe->of, CUSTODY_FOUND_UNREADABLE, NULL, "sealed_unreadable");
		return err;
	}
	if (!err)
		err = custody_apps_at(&probe->w, k->c, k->apps, provider, row->app_id,
			oauth_provider_datacenter(provider, row->datacenter), &app);
	if (err)
		return err;
	probe->target = app->target;
	probe->target.api_domain = row->api_domain;
	return oauth_probe_request(
		&probe->w, &probe->target, &app->oauth, probe->access, &probe->request, &probe->at);
}

static enum err send(struct custody_prober *k, struct probe *probe)
{
	probe->request.total_ms = conf_number(k->c->conf, CONF_provider_timeout_s) * 1000;
	probe->request.allow_loopback = probe->target.provider->allow_loopback_http;
	return oauth_http_start(&probe->w, k->c->http, &probe->request, &probe->answer, probe);
}

static void let_go(struct probe *probe)
{
	work_end(&probe->w);
	memset(probe, 0, sizeof(*probe));
}

/* Begins one; *stage is STAGE_ENDED when there is nothing to wait for. */
static enum err begin(struct custody_prober *k, struct probe *probe, struct custody_probed *probed,
	enum stage *stage)
{
	enum err err;

	*stage = STAGE_ENDED;
	if (!custody_prober_would_ask(k, probed))
		return ERR_OK;
	probe->of = probed;
	work_begin(
		&probe->w, 2 * conf_number(k->c->conf, CONF_provider_timeout_s) * 1000 + SPARE_MS);
	probed->proof.found = CUSTODY_FOUND_COUNT;
	err = compose(k, probe);
	if (!err)
		err = send(k, probe);
	if (!err) {
		*stage = STAGE_ASKED;
		k->sent++;
		return ERR_OK;
	}
	if (is_own(err) && probed->proof.found == CUSTODY_FOUND_COUNT)
		conclude(probed, CUSTODY_FOUND_FAULT, "our_fault", err_slug(err));
	log_event(LOG_ERROR, "probe.not_possible", LOG_TEXT("client", probed->row.client),
		LOG_TEXT("provider", probed->row.provider), LOG_TEXT("error", err_slug(err)),
		LOG_TEXT("why", probe->w.cause));
	if (!is_own(err))
		work_cause(k->w, err, "%s", probe->w.cause ? probe->w.cause : err_slug(err));
	let_go(probe);
	return is_own(err) ? ERR_OK : err;
}

static struct probe *free_probe(struct custody_prober *k)
{
	for (size_t i = 0; i < k->probing.concurrency; i++)
		if (!k->probes[i].of)
			return &k->probes[i];
	return NULL;
}

/* A token that lives: whose is it? Asks the next question of the same place. Returns whether it is
 * on its way. */
static int ask_account(struct custody_prober *k, struct probe *probe)
{
	if (!probe->of->proof.is_alive || !probe->target.provider->identity.url ||
		custody_prober_must_stop(k))
		return 0;
	memset(&probe->answer, 0, sizeof(probe->answer));
	probe->is_of_account = 1;
	return !oauth_probe_identity_request(
		       &probe->w, &probe->target, probe->access, &probe->request) &&
	       !send(k, probe);
}

static void judge(
	struct custody_prober *k, struct probe *probe, const struct custody_proved *proved)
{
	struct custody_probed *probed = probe->of;
	const struct oauth_question question = {
		oauth_provider_find(k->c->providers, probed->row.provider), probe->at,
		OAUTH_GRANT_ANY};
	struct oauth_outcome outcome;

	oauth_outcome_judge(
		&question, &probe->answer, oauth_answer_parse(&probe->w, &probe->answer), &outcome);
	custody_prove(proved, &outcome, &probe->answer, &probed->proof);
	set_code(probed->code, outcome.code);
	learn(k, probed);
	log_event(probed->proof.is_alive ? LOG_DEBUG : LOG_INFO, "provider.answered",
		LOG_TEXT("provider", probed->row.provider), LOG_TEXT("client", probed->row.client),
		LOG_TEXT("at", probe->at == OAUTH_AT_PROBE ? "probe" : "introspect"),
		LOG_INT("status", probe->answer.status), LOG_TEXT("transport", probe->answer.cause),
		LOG_TEXT("verdict", oauth_verdict_name(outcome.verdict)),
		LOG_TEXT("code", outcome.code));
}

/* Returns whether nothing of it is on its way any more. w: of the batch. */
static int answered(struct work *w, struct custody_prober *k, struct probe *probe,
	const struct custody_proved *proved)
{
	if (probe->is_of_account)
		probe->of->account = custody_account_read(w, &probe->target, &probe->answer);
	else {
		judge(k, probe, proved);
		if (ask_account(k, probe))
			return 0;
	}
	let_go(probe);
	k->sent--;
	return 1;
}

/* --- a batch --------------------------------------------------------------------------------- */

struct batch {
	struct work *w;
	struct custody_prober *k;
	struct custody_probed *probed;
	struct custody_proved *proved; /* what is known of each token */
	enum stage *stages;
	size_t n, next;
};

static enum err launch(struct batch *b)
{
	enum err err = ERR_OK;

	for (; !err && b->next < b->n; b->next++) {
		struct probe *probe = free_probe(b->k);

		if (b->stages[b->next] != STAGE_WAITS)
			continue;
		if (custody_prober_must_stop(b->k)) {
			b->probed[b->next].is_left = 1;
			b->stages[b->next] = STAGE_ENDED;
			continue;
		}
		if (!probe || (b->k->sent && secret_heap_is_tight()))
			return ERR_OK;
		err = begin(b->k, probe, &b->probed[b->next], &b->stages[b->next]);
	}
	return err;
}

static void collect(struct batch *b)
{
	struct probe *probe;

	while ((probe = oauth_http_next(b->k->c->http))) {
		const size_t i = (size_t)(probe->of - b->probed);

		if (answered(b->w, b->k, probe, &b->proved[i]))
			b->stages[i] = STAGE_ENDED;
	}
}

/* Asks for all that wait. Whatever goes wrong, what is on its way is waited for. */
static enum err ask_round(struct batch *b)
{
	enum err err = ERR_OK, waited = ERR_OK;

	b->next = 0;
	while (!waited && (b->k->sent || (!err && b->next < b->n))) {
		if (!err)
			err = launch(b);
		if (b->k->sent)
			waited = oauth_http_wait(b->k->c->http, POLL_MS, -1);
		collect(b);
	}
	if (waited && b->k->sent) { /* libcurl cannot go on, and still writes where these are */
		log_event(LOG_ERROR, "prober.broken", LOG_TEXT("error", err_slug(waited)));
		abort();
	}
	return err ? err : waited;
}

static int is_newer(enum custody_outcome outcome)
{
	return outcome == CUSTODY_RENEWED || outcome == CUSTODY_NOT_NEEDED ||
	       outcome == CUSTODY_SUPERSEDED;
}

/* A renewal that was refused, or could not be tried, is its own trouble and stands in the row. */
static enum err renew(
	struct work *w, struct custody_prober *k, struct custody_probed *probed, int *is_renewed)
{
	struct custody_renewal renewal;
	struct work own;
	enum err err;

	*is_renewed = 0;
	if (custody_prober_must_stop(k))
		return ERR_OK;
	work_begin(&own, work_left_ms(w));
	own.origin = w->origin;
	err = store_db_ready(&own, k->c->db);
	if (!err)
		err = custody_renew_one(&own, k->c, probed->row.connection_id, CUSTODY_WHY_CHECK,
			probed->row.generation, &renewal);
	if (err)
		log_event(LOG_ERROR, "renewal.not_possible", LOG_TEXT("client", probed->row.client),
			LOG_TEXT("provider", probed->row.provider),
			LOG_TEXT("error", err_slug(err)), LOG_TEXT("why", own.cause));
	*is_renewed = !err && is_newer(renewal.outcome);
	work_end(&own);
	return is_own(err) || err == ERR_IO ? ERR_OK : err;
}

static enum err take_again(
	struct work *w, struct custody_prober *k, struct custody_probed *probed, int *is_there)
{
	size_t n = 0;
	enum err err =
		store_check_take(w, k->c->db, &probed->row.connection_id, 1, &probed->row, &n);

	*is_there = n == 1;
	return err;
}

/* Those whose token was refused: renewed where that is possible, and asked once more. */
static enum err prepare_again(struct work *w, struct batch *b, size_t i)
{
	struct custody_probed *probed = &b->probed[i];
	const enum custody_proof_step step = probed->proof.step;
	int is_there = 0;
	enum err err = ERR_OK;

	probed->proof.step = CUSTODY_PROOF_ENDS;
	if (step == CUSTODY_PROOF_REPEAT)
		b->proved[i].is_repeated = is_there = 1;
	if (step == CUSTODY_PROOF_RENEW) {
		err = renew(w, b->k, probed, &b->proved[i].is_fresh);
		if (!err && b->proved[i].is_fresh)
			err = take_again(w, b->k, probed, &is_there);
	}
	if (is_there)
		b->stages[i] = STAGE_WAITS;
	return err;
}

/* The new token is proved by its renewal, when there was no time to ask it. */
static void settle_for_renewal(struct custody_probed *probed)
{
	probed->is_left = 0;
	conclude(probed, CUSTODY_FOUND_RENEWED, NULL, "");
}

enum err custody_prober_ask(
	struct work *w, struct custody_prober *k, struct custody_probed *probed, size_t n)
{
	struct batch b = {.w = w,
		.k = k,
		.probed = probed,
		.proved = work_alloc(w, (n + 1) * sizeof(*b.proved)),
		.stages = work_alloc(w, (n + 1) * sizeof(*b.stages)),
		.n = n};
	enum err err;

	for (size_t i = 0; i < n; i++) {
		b.proved[i] = (struct custody_proved){
			.is_renewable = probed[i].row.is_renewable && !probed[i].row.is_passive,
			.is_passive = probed[i].row.is_passive};
		b.stages[i] = STAGE_WAITS;
	}
	err = ask_round(&b);
	for (size_t i = 0; !err && i < n; i++)
		if (!probed[i].is_left)
			err = prepare_again(w, &b, i);
	if (!err)
		err = ask_round(&b);
	for (size_t i = 0; i < n; i++) {
		if (probed[i].proof.found == CUSTODY_FOUND_UNANSWERED)
			probed[i].is_provider_away = lane_of(k, &probed[i].row, 0)->is_shut;
		if (probed[i].is_left && b.proved[i].is_fresh)
			settle_for_renewal(&probed[i]);
		else if (probed[i].is_left && b.proved[i].is_repeated)
			probed[i].is_left = 0; /* refused once; nothing is believed of it yet */
	}
	return err;
}
