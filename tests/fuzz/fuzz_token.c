/*
 * A provider's answer. Input: one byte for provider and question, two for the status, then the
 * body. Whatever comes, it has a verdict, and a token is only what has the shape of one.
 */
#include "fuzz.h"

#include "oauth/answer.h"
#include "oauth/outcome.h"
#include "oauth/token_response.h"

#include <string.h>

static void check_outcome(const struct oauth_question *question,
	const struct oauth_http_answer *answer, const json_t *body)
{
	struct oauth_outcome outcome;
	static const char words[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";

	memset(&outcome, 0x5a, sizeof(outcome));
	oauth_outcome_judge(question, answer, body, &outcome);
	FUZZ_MUST(outcome.verdict <= OAUTH_RETRY);
	FUZZ_MUST(*oauth_verdict_name(outcome.verdict));
	FUZZ_MUST(memchr(outcome.code, '\0', sizeof(outcome.code)));
	FUZZ_MUST(strspn(outcome.code, words) == strlen(outcome.code));
	if (answer->status >= 500)
		FUZZ_MUST(outcome.verdict != OAUTH_OK);
}

static void check_secret(const struct secret *secret)
{
	FUZZ_MUST(secret_len(secret) > 0 && secret_len(secret) <= OAUTH_TOKEN_MAX_BYTES);
	FUZZ_MUST(strlen(secret_reveal(secret)) == secret_len(secret));
	FUZZ_MUST(!strpbrk(secret_reveal(secret), "\r\n"));
}

static void check_token(struct work *w, const struct oauth_provider *provider, const json_t *body)
{
	const char *fault = oauth_token_response_fault(provider, body);
	struct oauth_token token;
	enum err err;

	memset(&token, 0, sizeof(token));
	err = oauth_token_response_read(w, provider, provider->default_datacenter, body, &token);
	FUZZ_MUST(err == ERR_NO_MEMORY || !fault == !err);
	if (err)
		return;
	check_secret(token.access);
	if (token.refresh)
		check_secret(token.refresh);
	FUZZ_MUST(token.token_type && *token.token_type);
	FUZZ_MUST(token.expires_in_s >= -1 && token.expires_in_s <= OAUTH_TOKEN_LONGEST_S);
	FUZZ_MUST(!token.api_domain || oauth_provider_allows_api_domain(provider,
					       provider->default_datacenter, token.api_domain));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct oauth_providers *providers = fuzz_start();
	const struct oauth_provider *provider;
	struct oauth_question question;
	struct oauth_http_answer answer = {.content_type = "application/json"};
	json_t *body;
	struct work w;

	if (n < 3 || n > OAUTH_HTTP_BODY_MAX_BYTES)
		return 0;
	provider = oauth_providers_at(providers, data[0] % oauth_providers_count(providers));
	question = (struct oauth_question){
		provider, (enum oauth_at)(data[0] / 16 % 4), OAUTH_GRANT_ANY};
	if (question.at == OAUTH_AT_TOKEN)
		question.grant = data[0] & 128 ? OAUTH_GRANT_CODE : OAUTH_GRANT_REFRESH;
	if (data[1] & 128)
		answer.content_type = "application/x-www-form-urlencoded";
	answer.status = 100 + ((data[1] & 127) * 256 + data[2]) % 500;
	work_begin(&w, 60000);
	buf_init(&answer.body, &w, OAUTH_HTTP_BODY_MAX_BYTES);
	buf_add(&answer.body, data + 3, n - 3);
	body = oauth_answer_parse(&w, &answer);
	check_outcome(&question, &answer, body);
	check_token(&w, provider, body);
	work_end(&w);
	return 0;
}
