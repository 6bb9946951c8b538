/*
 * Trials. It decides what a refusal is made of: what a person took for what it is not, the wrong
 * place, or a token that is gone. What it asks to find out costs no token anywhere.
 */
#include "custody/trial.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "custody/account.h"
#include "custody/ask.h"
#include "custody/judge.h"
#include "oauth/probe.h"
#include "store/gate.h"

#define LOOK_MS 3000     /* for a question that only makes a refusal clearer */
#define LOOK_ALL_MS 8000 /* for all of them */
#define SPARE_MS 8000    /* for what comes after a trial */
#define RETRY_AFTER_S 30
#define NOWHERE "https://nobody.invalid/"
#define VERIFIER "nobody-has-begun-this-nobody-has-begun-this-nobody"

struct trying {
	const struct custody *c;
	struct custody_trial *t;
	struct custody_app app;
	struct oauth_outcome outcome; /* of what was tried */
	int64_t look_until_ms;
};

/* What was looked at in passing. */
struct sight {
	int lives;
	int is_foreign; /* it says that it belongs to another app */
};

static const struct oauth_datacenter *home(const struct trying *y)
{
	return oauth_provider_datacenter(y->t->provider, y->t->datacenter);
}

/* "in data centre eu", or as much as there is to say. */
static const char *place(struct work *w, const struct trying *y)
{
	return *y->t->datacenter ? work_printf(w, "in data centre %s", y->t->datacenter) : "there";
}

/* --- whether it may begin --------------------------------------------------------------------- */

static enum err deferred(struct work *w, struct custody_trial *t, const char *finding,
	int64_t wait_s, const char *what)
{
	t->finding = finding;
	w->retry_after_s = (unsigned)(wait_s > 0 ? wait_s : 1);
	return work_fail(w, ERR_RENEWAL_DEFERRED, "%s Nothing was tried; try again in %u seconds.",
		what, w->retry_after_s);
}

static const char *gate_words(const char *cause)
{
	if (text_equal(cause, "app_credentials"))
		return "The provider refuses the credentials of the app, and nothing of it is sent "
		       "until "
		       "they are changed or tried again.";
	if (text_equal(cause, "rate_limited"))
		return "The provider asks for patience with everything of this app.";
	return "The provider is in trouble, and nothing is sent until it is tried again.";
}

enum err custody_trial_may_begin(struct work *w, const struct custody *c, struct custody_trial *t)
{
	const struct store_gate_key key = {t->provider->name, t->datacenter, t->app_id};
	const int64_t share = t->refresh ? custody_judge_share(t->provider, CUSTODY_WHY_ADMIN) : 0;
	struct store_meter meter;
	enum err err = store_gate_meter(
		w, c->db, &key, t->connection_id, share, t->provider->mint_quota.window_s, &meter);

	if (err)
		return err;
	if (meter.gate_cause)
		return deferred(w, t, "gate", meter.gate_wait_s, gate_words(meter.gate_cause));
	if (meter.quota_wait_s)
		return deferred(w, t, "quota", meter.quota_wait_s,
			"The provider's quota of tokens for this connection is used up for now.");
	return ERR_OK;
}

/* --- looking, to make a refusal clearer ---------------------------------------------------------
 */

static int has_time(const struct work *w, const struct trying *y)
{
	return clock_monotonic_ms() < y->look_until_ms && work_left_ms(w) > LOOK_MS + SPARE_MS;
}

static enum err look(struct work *w, struct trying *y, const struct oauth_question *question,
	struct oauth_http_request *request, struct oauth_outcome *outcome, const json_t **body)
{
	request->total_ms = LOOK_MS;
	return custody_ask(w, y->c, question, request, outcome, body);
}

/* Whether it lives as an access token there. A token that introspection knows without a type is
 * none. Source: RFC 7662 section 2.2. */
static struct sight look_at(struct work *w, struct trying *y, const struct secret *token,
	const struct oauth_datacenter *datacenter)
{
	struct oauth_question question = {y->t->provider, OAUTH_AT_PROBE, OAUTH_GRANT_ANY};
	struct oauth_target target = y->app.target;
	struct oauth_http_request request;
	struct oauth_outcome outcome;
	const json_t *body = NULL;
	const char *client;

	if (!has_time(w, y))
		return (struct sight){0};
	if (datacenter != target.datacenter)
		target.api_domain = NULL;
	target.datacenter = datacenter;
	if (oauth_probe_request(w, &target, &y->app.oauth, token, &request, &question.at) ||
		look(w, y, &question, &request, &outcome, &body)) {
		work_forgive(w);
		return (struct sight){0};
	}
	if (question.at == OAUTH_AT_PROBE)
		return (struct sight){
			outcome.verdict == OAUTH_OK || outcome.verdict == OAUTH_SCOPE, 0};
	client = json_string_value(json_object_get(body, "client_id"));
	return (struct sight){
		outcome.verdict == OAUTH_OK && json_is_string(json_object_get(body, "token_type")),
		outcome.verdict == OAUTH_OK && client &&
			!text_equal(client, y->app.oauth.client_id)};
}

/* The data centre where an access token lives, or NULL. */
static const struct oauth_datacenter *find_place(
	struct work *w, struct trying *y, const struct secret *token)
{
	const struct oauth_provider *provider = y->t->provider;

	for (size_t i = 0; i < provider->datacenter_count; i++)
		if (&provider->datacenters[i] != home(y) &&
			look_at(w, y, token, &provider->datacenters[i]).lives)
			return &provider->datacenters[i];
	return NULL;
}

/* A provider that takes a code for any place has given tokens that nobody wants. */
static void give_back(struct work *w, struct trying *y, const json_t *body)
{
	const struct oauth_question question = {y->t->provider, OAUTH_AT_REVOKE, OAUTH_GRANT_ANY};
	struct oauth_http_request request;
	struct oauth_outcome outcome;
	struct oauth_token token;
	enum err err = oauth_token_response_read(
		w, y->t->provider, y->app.target.datacenter, body, &token);

	if (!err)
		err = oauth_token_request_revoke(w, &y->app.target, &y->app.oauth,
			token.refresh ? token.refresh : token.access, NULL, &request);
	if (!err)
		err = look(w, y, &question, &request, &outcome, &body);
	if (err || outcome.verdict != OAUTH_OK)
		log_event(LOG_WARN, "trial.not_given_back",
			LOG_TEXT("provider", y->t->provider->name));
}

/*
 * Whether it is an authorization code. It is exchanged for a place that is nobody's, so that
 * nothing comes of it: whoever knows the code complains of the place, and of a made-up code as of a
 * code.
 */
static int is_code(struct work *w, struct trying *y, const struct secret *token)
{
	const struct oauth_question question = {y->t->provider, OAUTH_AT_TOKEN, OAUTH_GRANT_CODE};
	struct oauth_app nowhere = y->app.oauth;
	const struct secret *verifier = secret_new(w, VERIFIER, sizeof(VERIFIER) - 1);
	struct oauth_http_request request;
	struct oauth_outcome outcome;
	const json_t *body = NULL;

	nowhere.redirect_uri = NOWHERE;
	if (!has_time(w, y) || !verifier ||
		oauth_token_request_code(w, &y->app.target, &nowhere, token,
			y->t->provider->pkce ? verifier : NULL, &request) ||
		look(w, y, &question, &request, &outcome, &body))
		return 0;
	if (outcome.verdict == OAUTH_OK) {
		give_back(w, y, body);
		return 1;
	}
	return outcome.verdict == OAUTH_APP &&
	       !oauth_token_request_app_proof(w, &y->app.target, &nowhere, &request) &&
	       !look(w, y, &question, &request, &outcome, &body) && outcome.verdict == OAUTH_DEAD;
}

/* --- refusals -----------------------------------------------------------------------------------
 */

static enum err throttled(struct work *w, struct trying *y)
{
	y->t->finding = "throttled";
	w->retry_after_s =
		y->outcome.retry_after_s ? y->outcome.retry_after_s : CUSTODY_JUDGE_RATE_S;
	return work_fail(w, ERR_TOKEN_REFUSED,
		"The provider throttles requests at the moment, and says nothing of the token. "
		"Nothing was changed; try the same again in %u seconds.",
		w->retry_after_s);
}

static enum err away(struct work *w, struct trying *y)
{
	struct custody_trial *t = y->t;
	int may_be_spent = t->refresh && y->outcome.maybe_done &&
			   t->provider->rotation != OAUTH_ROTATION_NEVER;

	t->finding = "provider_unavailable";
	t->maybe_done = y->outcome.maybe_done;
	w->retry_after_s = y->outcome.retry_after_s ? y->outcome.retry_after_s : RETRY_AFTER_S;
	return work_fail(w, ERR_PROVIDER_UNAVAILABLE, "%s",
		may_be_spent
			? "The provider's answer was lost. Nothing was changed here, but the "
			  "provider "
			  "may have replaced the refresh token: should it be refused from now on, "
			  "authorize the connection again."
			: "The provider gave no answer that could be used. Nothing was changed; "
			  "try "
			  "the same again later.");
}

static enum err refused(struct work *w, struct trying *y, const char *finding, const char *what)
{
	y->t->finding = finding;
	work_cause(w, ERR_TOKEN_REFUSED, "%s %s", finding, y->outcome.code);
	return work_fail(w, ERR_TOKEN_REFUSED, "%s Nothing was changed.", what);
}

static enum err app_refused(struct work *w, struct trying *y)
{
	return refused(w, y, "app_credentials",
		work_printf(w,
			"The provider does not accept the app %s %s: check its client id and "
			"secret, whether it is registered there, and the data centre.",
			y->app.oauth.client_id, place(w, y)));
}

/* What the caller should have named, or named otherwise; the status stays that of the refusal. */
static void name_datacenter(struct work *w, const char *reason)
{
	(void)work_fail_field(w, "datacenter", "%s", reason);
}

static enum err misplaced(
	struct work *w, struct trying *y, const struct oauth_datacenter *datacenter)
{
	y->t->offered = datacenter->name;
	name_datacenter(w, work_printf(w, "is %s, not %s", datacenter->name, y->t->datacenter));
	return refused(w, y, "wrong_datacenter",
		work_printf(w,
			"The access token lives in data centre %s, not in %s: give datacenter "
			"\"%s\".",
			datacenter->name, y->t->datacenter, datacenter->name));
}

static enum err unknown_refresh(struct work *w, struct trying *y)
{
	const struct oauth_provider *provider = y->t->provider;
	const char *elsewhere = "";

	if (provider->datacenter_count > 1) {
		name_datacenter(w, "has to be the one where the token was issued; it cannot be "
				   "found out without using up the provider's quota");
		elsewhere = ", or it was issued in another data centre: name that one in "
			    "datacenter";
	}
	return refused(w, y, "unknown_refresh_token",
		work_printf(w,
			"The provider knows no such refresh token of app %s %s: it was revoked, "
			"replaced or evicted, it belongs to another app (client id)%s.",
			y->app.oauth.client_id, place(w, y), elsewhere));
}

/* A refresh token was refused. */
static enum err explain_refresh(struct work *w, struct trying *y)
{
	const struct oauth_datacenter *datacenter;
	struct sight sight = look_at(w, y, y->t->refresh, home(y));

	if (sight.is_foreign)
		return refused(w, y, "other_app",
			work_printf(w,
				"The token belongs to another app than %s: give one that was "
				"issued "
				"to this app.",
				y->app.oauth.client_id));
	if (sight.lives)
		return refused(w, y, "access_token_given",
			"What was given as refresh_token is an access token: give it as "
			"access_token, or the refresh token that came with it.");
	if (is_code(w, y, y->t->refresh))
		return refused(w, y, "grant_code_given",
			"What was given as refresh_token is an authorization code (grant code): "
			"it has to be exchanged for tokens first. Begin an authorization here, or "
			"exchange a new code and give the refresh token that comes of it.");
	datacenter = y->t->access && !look_at(w, y, y->t->access, home(y)).lives
			     ? find_place(w, y, y->t->access)
			     : NULL;
	return datacenter ? misplaced(w, y, datacenter) : unknown_refresh(w, y);
}

/* An access token was refused. Asking where it lives costs no quota. */
static enum err explain_access(struct work *w, struct trying *y)
{
	const struct oauth_datacenter *datacenter = find_place(w, y, y->t->access);

	if (datacenter)
		return misplaced(w, y, datacenter);
	if (is_code(w, y, y->t->access))
		return refused(w, y, "grant_code_given",
			"What was given as access_token is an authorization code (grant code): it "
			"has to be exchanged for tokens first.");
	return refused(w, y, "unknown_access_token",
		work_printf(w,
			"The provider does not accept the access token%s: it has run out or was "
			"revoked, or it is none. A refresh token belongs into refresh_token.",
			y->t->provider->datacenter_count > 1 ? " in any data centre" : ""));
}

/* The provider answers dead grants and bad credentials alike: a made-up code tells them apart. */
static enum err doubt(struct work *w, struct trying *y)
{
	const struct oauth_question question = {y->t->provider, OAUTH_AT_TOKEN, OAUTH_GRANT_CODE};
	struct oauth_http_request request;
	struct oauth_outcome outcome;
	const json_t *body = NULL;
	enum err err = oauth_token_request_app_proof(w, &y->app.target, &y->app.oauth, &request);

	if (!err)
		err = look(w, y, &question, &request, &outcome, &body);
	if (err)
		return err;
	if (outcome.verdict == OAUTH_DEAD)
		return explain_refresh(w, y);
	if (outcome.verdict == OAUTH_APP)
		return app_refused(w, y);
	return refused(w, y, "refused",
		"The provider refuses the token or the app's credentials, and does not say which.");
}

static enum err judge(struct work *w, struct trying *y)
{
	y->look_until_ms = clock_monotonic_ms() + LOOK_ALL_MS;
	y->t->code = y->outcome.is_foreign ? "unknown_error" : work_strdup(w, y->outcome.code);
	switch (y->outcome.verdict) {
	case OAUTH_OK:
		return ERR_OK;
	case OAUTH_SCOPE:
		return y->t->refresh ? away(w, y) : ERR_OK;
	case OAUTH_RATE:
		return throttled(w, y);
	case OAUTH_RETRY:
		return away(w, y);
	case OAUTH_APP:
		return app_refused(w, y);
	case OAUTH_DEAD_OR_APP:
		return y->t->refresh ? doubt(w, y) : explain_access(w, y);
	case OAUTH_DEAD:
		return y->t->refresh ? explain_refresh(w, y) : explain_access(w, y);
	}
	return ERR_BUG;
}

/* --- trying -------------------------------------------------------------------------------------
 */

static enum err try_refresh(struct work *w, struct trying *y)
{
	struct custody_trial *t = y->t;
	const struct oauth_question question = {t->provider, OAUTH_AT_TOKEN, OAUTH_GRANT_REFRESH};
	struct oauth_http_request request;
	const json_t *body = NULL;
	enum err err =
		oauth_token_request_refresh(w, &y->app.target, &y->app.oauth, t->refresh, &request);

	if (!err)
		err = custody_ask(w, y->c, &question, &request, &y->outcome, &body);
	if (!err)
		err = judge(w, y);
	if (err)
		return err;
	t->maybe_done = 1;
	err = oauth_token_response_read(w, t->provider, y->app.target.datacenter, body, &t->token);
	if (err)
		return err;
	t->is_replaced = t->token.refresh && !secret_equal(t->token.refresh, t->refresh);
	if (!t->token.refresh) /* what is not repeated stays. Source: RFC 6749 section 6 */
		t->token.refresh = t->refresh;
	if (!t->token.api_domain)
		t->token.api_domain = t->api_domain;
	return ERR_OK;
}

/* What is known of a token that nobody has just issued. It ends with itself: nothing renews it. */
static void take_access(struct custody_trial *t)
{
	int64_t lives_s = t->expires_in_s > 0    ? t->expires_in_s
			  : t->provider->expires ? t->provider->access_ttl_s
						 : -1;

	t->token = (struct oauth_token){.access = t->access,
		.token_type = "Bearer",
		.expires_in_s = lives_s,
		.refresh_expires_in_s = lives_s,
		.api_domain = t->api_domain};
}

static enum err try_access(struct work *w, struct trying *y)
{
	struct custody_trial *t = y->t;
	struct oauth_question question = {t->provider, OAUTH_AT_PROBE, OAUTH_GRANT_ANY};
	struct oauth_http_request request;
	const json_t *body = NULL;
	enum err err = oauth_probe_request(
		w, &y->app.target, &y->app.oauth, t->access, &request, &question.at);

	if (err == ERR_NOT_FOUND) {
		t->finding = "cannot_prove";
		return work_fail(w, ERR_CANNOT_PROVE,
			"The definition of %s names neither a probe nor introspection, so nothing "
			"proves an access token alone: give the refresh token.",
			t->provider->name);
	}
	if (!err)
		err = custody_ask(w, y->c, &question, &request, &y->outcome, &body);
	if (!err)
		err = judge(w, y);
	if (err)
		return err;
	t->cause = y->outcome.verdict == OAUTH_SCOPE ? "scope_missing" : "none";
	take_access(t);
	return ERR_OK;
}

enum err custody_trial(struct work *w, const struct custody *c, struct custody_trial *t)
{
	struct trying y = {.c = c, .t = t};
	enum err err;

	t->code = "";
	t->cause = "none";
	err = custody_app_at(w, c, t->provider, t->app_id, home(&y), &y.app);
	if (err)
		return err;
	t->app_id = y.app.row.id;
	y.app.target.api_domain = t->api_domain;
	err = custody_trial_may_begin(w, c, t);
	if (err)
		return err;
	t->asked_ms = clock_monotonic_ms();
	err = t->refresh ? try_refresh(w, &y) : try_access(w, &y);
	if (err)
		return err;
	y.app.target.api_domain = t->token.api_domain;
	return custody_account_ask(w, c, &y.app, t->token.access, &t->account);
}
