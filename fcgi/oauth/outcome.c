/* Verdicts. It decides what an answer means for a token or an app, and not what is done about it.
 */
#include "oauth/outcome.h"

#include "base/text.h"
#include "oauth/pointer.h"
#include "oauth/token_response.h"

#include <string.h>

#define UNAVAILABLE 503

/* An error word and its meaning, where RFC 6749 section 5.2, 6750 section 3.1 or 7009 section 2.2.1
 * give it one. */
struct word {
	const char *error;
	enum oauth_verdict verdict;
};

static const struct word token_words[] = {
	{"invalid_grant", OAUTH_DEAD},
	{"invalid_client", OAUTH_APP},
	{"unauthorized_client", OAUTH_APP},
	{"invalid_request", OAUTH_APP}, /* ours is wrong: what was configured has to change */
	{"unsupported_grant_type", OAUTH_APP},
	{"invalid_scope", OAUTH_APP},
	{"server_error", OAUTH_RETRY},
	{"temporarily_unavailable", OAUTH_RETRY},
	{0},
};

static const struct word revoke_words[] = {
	{"invalid_token", OAUTH_DEAD},
	{"invalid_client", OAUTH_APP},
	{"unauthorized_client", OAUTH_APP},
	{"unsupported_token_type", OAUTH_DEAD_OR_APP}, /* it may well live on */
	{0},
};

static const struct word probe_words[] = {
	{"invalid_token", OAUTH_DEAD},
	{"insufficient_scope", OAUTH_SCOPE},
	{0},
};

struct judging {
	const struct oauth_question *question;
	const struct oauth_http_answer *answer;
	const json_t *body;
	struct oauth_outcome *outcome;
	int is_said; /* a rule or an RFC's word gave the verdict */
};

static void set_code(struct oauth_outcome *outcome, const char *code)
{
	size_t n = strlen(code);

	if (n > OAUTH_CODE_MAX_BYTES)
		n = OAUTH_CODE_MAX_BYTES;
	memcpy(outcome->code, code, n);
	outcome->code[n] = '\0';
}

/*
 * Makes a word of [a-z_.-] out of one of letters, spaces and these. digits: whether they are
 * allowed, as they are in words of a definition; in a provider's own they could be a token that it
 * echoes.
 */
static int to_code(const char *text, int digits, char code[OAUTH_CODE_MAX_BYTES + 1])
{
	size_t n = strlen(text);

	if (n < 1 || n > OAUTH_CODE_MAX_BYTES)
		return 0;
	for (size_t i = 0; i <= n; i++) {
		char c = text[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		else if (c == ' ')
			c = '_';
		else if (c && !(c >= 'a' && c <= 'z') && !strchr("_.-", c) &&
			 !(digits && c >= '0' && c <= '9'))
			return 0;
		code[i] = c;
	}
	return 1;
}

static void set_status_code(struct judging *j)
{
	char code[16] = "http_000";
	int status = j->answer->status % 1000;

	code[5] = (char)('0' + status / 100);
	code[6] = (char)('0' + status / 10 % 10);
	code[7] = (char)('0' + status % 10);
	set_code(j->outcome, code);
}

/* Names the reason: the answer's own error word, else the rule's, else what the body or the status
 * are. */
static void name_reason(struct judging *j, const char *rule_word)
{
	const char *error = oauth_pointer_text(j->body, "/error");

	if (error && to_code(error, 0, j->outcome->code)) {
		j->outcome->is_foreign = !text_equal(error, rule_word);
		return;
	}
	if (rule_word && to_code(rule_word, 1, j->outcome->code))
		return;
	if (error)
		set_code(j->outcome, "unknown_error");
	else if (!j->answer->body.len && j->answer->status >= 400)
		set_code(j->outcome, "empty_body");
	else
		set_status_code(j);
}

static int decide(struct judging *j, enum oauth_verdict verdict, const char *code)
{
	j->outcome->verdict = verdict;
	if (verdict == OAUTH_OK)
		j->outcome->code[0] = '\0';
	else if (code)
		set_code(j->outcome, code);
	else
		name_reason(j, NULL);
	return 1;
}

static int is_success(int status)
{
	return status >= 200 && status < 300;
}

static int by_transport(struct judging *j)
{
	switch (j->answer->transport) {
	case OAUTH_TRANSPORT_OK:
		return 0;
	case OAUTH_TRANSPORT_AMBIGUOUS:
		j->outcome->maybe_done = 1;
		break;
	case OAUTH_TRANSPORT_NOT_SENT:
	case OAUTH_TRANSPORT_CERTIFICATE:
		break;
	}
	return decide(j, OAUTH_RETRY, j->answer->cause ? j->answer->cause : "transport");
}

static int status_matches(const struct oauth_rule *rule, int status)
{
	for (size_t i = 0; i < rule->status_count; i++)
		if (rule->statuses[i] == status)
			return 1;
	/* a gateway's page may hold any word: such answers are the rule's only when it asks for
	 * them */
	return !rule->status_count && status != 429 && status < 500 &&
	       !(status >= 300 && status < 400);
}

static int value_matches(const struct oauth_rule *rule, const json_t *body)
{
	const json_t *value = oauth_pointer_get(body, rule->pointer);
	int64_t wanted;

	if (!value || json_is_null(value))
		return 0;
	if (!rule->equals)
		return 1;
	if (json_is_integer(value))
		return text_to_int(rule->equals, INT64_MIN, INT64_MAX, &wanted) &&
		       wanted == json_integer_value(value);
	if (json_is_boolean(value))
		return text_equal(rule->equals, json_is_true(value) ? "true" : "false");
	return text_equal(rule->equals, json_string_value(value));
}

static int rule_matches(const struct oauth_rule *rule, const struct judging *j)
{
	return rule->at == j->question->at &&
	       (rule->grant == OAUTH_GRANT_ANY || rule->grant == j->question->grant) &&
	       status_matches(rule, j->answer->status) &&
	       (!rule->body_empty || !j->answer->body.len) &&
	       (!rule->pointer || value_matches(rule, j->body));
}

/* Why a body is no success where one is expected, or NULL. */
static const char *success_fault(const struct judging *j)
{
	const struct oauth_provider *provider = j->question->provider;

	if (j->question->at == OAUTH_AT_TOKEN)
		return oauth_token_response_fault(provider, j->body);
	if (j->question->at == OAUTH_AT_INTROSPECT)
		return json_is_boolean(json_object_get(j->body, "active")) ? NULL
									   : "unexpected_answer";
	return NULL;
}

static int by_rules(struct judging *j)
{
	const struct oauth_provider *provider = j->question->provider;

	for (size_t i = 0; i < provider->rule_count; i++) {
		const struct oauth_rule *rule = &provider->rules[i];

		if (!rule_matches(rule, j))
			continue;
		/* no rule makes a token of an answer that has none */
		if (rule->verdict == OAUTH_OK && success_fault(j))
			return decide(j, OAUTH_RETRY, success_fault(j));
		decide(j, rule->verdict, NULL);
		j->is_said = 1;
		if (rule->verdict != OAUTH_OK)
			name_reason(j, rule->equals);
		return 1;
	}
	return 0;
}

static int by_status(struct judging *j)
{
	int status = j->answer->status;

	if (status >= 300 && status < 400)
		return decide(j, OAUTH_RETRY, "redirect");
	if (status == 429 || (status == UNAVAILABLE && j->answer->retry_after_s))
		return decide(j, OAUTH_RATE, NULL);
	if (status >= 500)
		return decide(j, OAUTH_RETRY, NULL);
	return 0;
}

static int by_word(struct judging *j, const struct word *words)
{
	const char *error = oauth_pointer_text(j->body, "/error");

	for (; error && words->error; words++)
		if (text_equal(error, words->error)) {
			j->is_said = 1;
			return decide(j, words->verdict, words->error);
		}
	return 0;
}

static int judge_token(struct judging *j)
{
	const char *fault = success_fault(j);

	if (by_word(j, token_words))
		return 1;
	if (j->answer->status == 401)
		return decide(j, OAUTH_APP, NULL);
	if (!is_success(j->answer->status) || text_equal(fault, "error"))
		return decide(j, OAUTH_RETRY, NULL);
	return decide(j, fault ? OAUTH_RETRY : OAUTH_OK, fault);
}

static int judge_revoke(struct judging *j)
{
	if (by_word(j, revoke_words))
		return 1;
	if (j->answer->status == 401)
		return decide(j, OAUTH_APP, NULL);
	return decide(j, is_success(j->answer->status) ? OAUTH_OK : OAUTH_RETRY, NULL);
}

static int judge_introspect(struct judging *j)
{
	const char *fault = success_fault(j);

	if (by_word(j, token_words))
		return 1;
	if (j->answer->status == 401)
		return decide(j, OAUTH_APP, NULL);
	if (!is_success(j->answer->status))
		return decide(j, OAUTH_RETRY, NULL);
	if (fault)
		return decide(j, OAUTH_RETRY, fault);
	if (json_is_true(json_object_get(j->body, "active")))
		return decide(j, OAUTH_OK, NULL);
	return decide(j, OAUTH_DEAD, "inactive");
}

static int has_expected(const struct judging *j)
{
	const char *expect = j->question->provider->probe.expect;
	const json_t *value = expect ? oauth_pointer_get(j->body, expect) : NULL;

	return value && !json_is_null(value) && !json_is_false(json_object_get(j->body, "ok"));
}

static int judge_probe(struct judging *j)
{
	int status = j->answer->status;

	if (is_success(status) && (status == 204 || has_expected(j)))
		return decide(j, OAUTH_OK, NULL);
	if (by_word(j, probe_words))
		return 1;
	if (status == 401)
		return decide(j, OAUTH_DEAD, NULL);
	if (status == 404)
		return decide(j, OAUTH_RETRY, "wrong_address");
	return decide(j, OAUTH_RETRY, is_success(status) ? "unexpected_answer" : NULL);
}

static void by_default(struct judging *j)
{
	switch (j->question->at) {
	case OAUTH_AT_TOKEN:
		judge_token(j);
		break;
	case OAUTH_AT_PROBE:
		judge_probe(j);
		break;
	case OAUTH_AT_REVOKE:
		judge_revoke(j);
		break;
	case OAUTH_AT_INTROSPECT:
		judge_introspect(j);
		break;
	}
}

void oauth_outcome_judge(const struct oauth_question *question,
	const struct oauth_http_answer *answer, const json_t *body, struct oauth_outcome *outcome)
{
	struct judging j = {question, answer, body, outcome, 0};

	*outcome = (struct oauth_outcome){.verdict = OAUTH_RETRY};
	if (!by_transport(&j) && !by_rules(&j) && !by_status(&j))
		by_default(&j);
	if (outcome->verdict == OAUTH_RETRY && answer->transport == OAUTH_TRANSPORT_OK)
		outcome->maybe_done = is_success(answer->status) || answer->status >= 500;
	if (outcome->verdict == OAUTH_RETRY)
		outcome->is_unknown = answer->transport == OAUTH_TRANSPORT_CERTIFICATE ||
				      (answer->transport == OAUTH_TRANSPORT_OK &&
					      answer->status < 500 && !j.is_said);
	if (outcome->verdict == OAUTH_RATE || outcome->verdict == OAUTH_RETRY)
		outcome->retry_after_s = answer->retry_after_s;
}

const char *oauth_verdict_name(enum oauth_verdict verdict)
{
	static const char *const names[] = {
		[OAUTH_OK] = "ok",
		[OAUTH_DEAD] = "dead",
		[OAUTH_APP] = "app",
		[OAUTH_DEAD_OR_APP] = "dead_or_app",
		[OAUTH_RATE] = "rate",
		[OAUTH_SCOPE] = "scope",
		[OAUTH_RETRY] = "retry",
	};

	return names[verdict];
}
