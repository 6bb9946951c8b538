/* From a request to an answer to a verdict to an error. It decides what a verdict means to a person
 * at the callback. */
#include "custody/ask.h"

#include "base/log.h"
#include "base/text.h"
#include "oauth/answer.h"
#include "oauth/probe.h"

#include <string.h>

#define RETRY_AFTER_S 30

static enum err call(struct work *w, const struct custody *c, const struct oauth_provider *provider,
	struct oauth_http_request *request, struct oauth_http_answer *answer)
{
	if (!request->total_ms)
		request->total_ms = conf_number(c->conf, CONF_provider_timeout_s) * 1000;
	request->allow_loopback = provider->allow_loopback_http;
	return oauth_http_call(w, c->http, request, answer);
}

static void note(const struct oauth_question *question, const struct oauth_http_answer *answer,
	const struct oauth_outcome *outcome)
{
	static const char *const places[] = {"token", "probe", "revoke", "introspect"};

	log_event(LOG_INFO, "provider.answered", LOG_TEXT("provider", question->provider->name),
		LOG_TEXT("at", places[question->at]), LOG_INT("status", answer->status),
		LOG_TEXT("transport", answer->cause),
		LOG_TEXT("verdict", oauth_verdict_name(outcome->verdict)),
		LOG_TEXT("code", outcome->code));
}

enum err custody_ask(struct work *w, const struct custody *c, const struct oauth_question *question,
	struct oauth_http_request *request, struct oauth_outcome *outcome, const json_t **body)
{
	struct oauth_http_answer answer;
	enum err err = call(w, c, question->provider, request, &answer);

	if (err)
		return err;
	*body = oauth_answer_parse(w, &answer);
	oauth_outcome_judge(question, &answer, *body, outcome);
	note(question, &answer, outcome);
	return ERR_OK;
}

/* What to tell of a provider that could not be asked; whose fault it is decides what to do. */
static const char *reason_of(const struct oauth_outcome *outcome)
{
	if (outcome->verdict == OAUTH_RATE)
		return "The provider asks for patience. Nothing was changed; start the "
		       "authorization again later.";
	if (text_equal(outcome->code, "certificate"))
		return "The provider could not prove who it is (certificate). Nothing was changed; "
		       "an operator has to look.";
	if (text_equal(outcome->code, "address_refused"))
		return "The provider's address is none that may be asked. Nothing was changed; an "
		       "operator has to look.";
	return "The provider gave no answer that could be used. Nothing was changed; start the "
	       "authorization again later.";
}

static enum err away(struct work *w, const struct oauth_outcome *outcome)
{
	w->retry_after_s = outcome->retry_after_s ? outcome->retry_after_s : RETRY_AFTER_S;
	work_cause(w, ERR_PROVIDER_UNAVAILABLE, "%s %s", oauth_verdict_name(outcome->verdict),
		outcome->code);
	return work_fail(w, ERR_PROVIDER_UNAVAILABLE, "%s", reason_of(outcome));
}

static enum err refused(struct work *w, const struct oauth_outcome *outcome, const char *what)
{
	int app = outcome->verdict == OAUTH_APP || outcome->verdict == OAUTH_DEAD_OR_APP;

	work_cause(
		w, ERR_TOKEN_REFUSED, "%s %s", oauth_verdict_name(outcome->verdict), outcome->code);
	return work_fail(w, ERR_TOKEN_REFUSED, "%s (%s). Nothing was changed.",
		app ? "The provider does not accept the app's credentials: check client id, "
		      "secret, redirect URI and data centre"
		    : what,
		outcome->is_foreign ? "unknown_error" : outcome->code);
}

static enum err verdict_to_err(
	struct work *w, const struct oauth_outcome *outcome, const char *what)
{
	switch (outcome->verdict) {
	case OAUTH_OK:
	case OAUTH_SCOPE:
		return ERR_OK;
	case OAUTH_RATE:
	case OAUTH_RETRY:
		return away(w, outcome);
	case OAUTH_DEAD:
	case OAUTH_APP:
	case OAUTH_DEAD_OR_APP:
		return refused(w, outcome, what);
	}
	return ERR_BUG;
}

enum err custody_ask_code(struct work *w, const struct custody *c, const struct custody_app *app,
	const struct secret *code, const struct secret *verifier, struct oauth_token *token)
{
	const struct oauth_question question = {
		app->target.provider, OAUTH_AT_TOKEN, OAUTH_GRANT_CODE};
	struct oauth_http_request request;
	struct oauth_outcome outcome;
	const json_t *body = NULL;
	enum err err =
		oauth_token_request_code(w, &app->target, &app->oauth, code, verifier, &request);

	if (!err)
		err = custody_ask(w, c, &question, &request, &outcome, &body);
	if (!err)
		err = verdict_to_err(w, &outcome, "The provider refused the authorization code");
	return err ? err
		   : oauth_token_response_read(
			     w, app->target.provider, app->target.datacenter, body, token);
}

enum err custody_ask_probe(struct work *w, const struct custody *c, const struct custody_app *app,
	const struct secret *access, struct oauth_outcome *outcome)
{
	struct oauth_question question = {app->target.provider, OAUTH_AT_PROBE, OAUTH_GRANT_ANY};
	struct oauth_http_request request;
	const json_t *body = NULL;
	enum err err =
		oauth_probe_request(w, &app->target, &app->oauth, access, &request, &question.at);

	memset(outcome, 0, sizeof(*outcome));
	if (err == ERR_NOT_FOUND)
		return ERR_OK;
	if (!err)
		err = custody_ask(w, c, &question, &request, outcome, &body);
	return err ? err
		   : verdict_to_err(w, outcome,
			     "The provider does not accept the token it has just issued");
}
