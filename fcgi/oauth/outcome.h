/* From an answer to a verdict. Pure: the same answer always means the same. */
#ifndef VESTAL_OAUTH_OUTCOME_H
#define VESTAL_OAUTH_OUTCOME_H

#include "oauth/http.h"
#include "oauth/provider.h"

#include <jansson.h>

#define OAUTH_CODE_MAX_BYTES 64

struct oauth_question {
	const struct oauth_provider *provider;
	enum oauth_at at;
	enum oauth_grant grant; /* at the token endpoint; else OAUTH_GRANT_ANY */
};

struct oauth_outcome {
	enum oauth_verdict verdict;
	int maybe_done; /* RETRY, and the provider may have done what was asked: a rotating token
			   may be spent */
	char code[OAUTH_CODE_MAX_BYTES +
		  1];   /* a word of [a-z0-9_.-], never the provider's free text; "" when OK */
	int is_foreign; /* code is the answer's own word, which neither the definition nor an RFC
			   knows: for our log and database, not for callers */
	int is_unknown; /* RETRY, though the provider was there and answered: nothing says what it
			   meant, or that time will mend it */
	unsigned retry_after_s; /* 0: not said */
};

/*
 * Judges an answer; body is what oauth_answer_parse() made of it. The transport counts first; then
 * the definition's rules in their order (3xx, 429 and 5xx only by rules that name the status); then
 * the RFC's vocabulary. What nothing knows is RETRY, also a 403 at the probe: a gateway's proves no
 * token; SCOPE takes a rule or RFC 6750 section 3.1's insufficient_scope in the body.
 */
void oauth_outcome_judge(const struct oauth_question *question,
	const struct oauth_http_answer *answer, const json_t *body, struct oauth_outcome *outcome);

/* "ok", "dead", "app", "dead_or_app", "rate", "scope", "retry". */
const char *oauth_verdict_name(enum oauth_verdict verdict);

#endif
