/* The table from a verdict on a probe to what it proves, and of whom. */
#include "../support/unit.h"

#include "custody/proof.h"

#include <stdio.h>
#include <string.h>

static const struct custody_proved plain = {.is_renewable = 1};
static const struct custody_proved fresh = {.is_renewable = 1, .is_fresh = 1};
static const struct custody_proved alone = {.is_renewable = 0};
static const struct custody_proved alone_again = {.is_repeated = 1};
static const struct custody_proved passive = {.is_passive = 1};

/* The answer: verdict, transport and its cause, status, the verdict's code. */
struct said {
	enum oauth_verdict verdict;
	enum oauth_transport transport;
	const char *cause;
	int status;
	const char *code;
};

struct after {
	enum custody_proof_step step;
	enum custody_found found;
	const char *cause; /* NULL: nothing is wrong, or nothing is said */
	int says, is_alive, is_dead;
};

#define ANSWER OAUTH_TRANSPORT_OK, NULL
#define NOT_SENT OAUTH_TRANSPORT_NOT_SENT

#define ENDS CUSTODY_PROOF_ENDS
#define OUTAGE                                                                                     \
	{                                                                                          \
		ENDS, CUSTODY_FOUND_UNANSWERED, "provider_outage", 1, 0, 0                         \
	}
#define FAULT                                                                                      \
	{                                                                                          \
		ENDS, CUSTODY_FOUND_FAULT, "our_fault", 1, 0, 0                                    \
	}

static const struct row {
	const char *name;
	const struct custody_proved *proved;
	struct said said;
	struct after after;
} rows[] = {
	{"taken", &plain, {OAUTH_OK, ANSWER, 200, ""}, {ENDS, CUSTODY_FOUND_PROVED, NULL, 1, 1, 0}},
	{"the new one is taken", &fresh, {OAUTH_OK, ANSWER, 200, ""},
		{ENDS, CUSTODY_FOUND_RENEWED, NULL, 1, 1, 0}},
	{"alive, and may not do this", &plain, {OAUTH_SCOPE, ANSWER, 401, "oauth_scope_mismatch"},
		{ENDS, CUSTODY_FOUND_SCOPE, "scope_missing", 1, 1, 0}},
	{"the new one may not do this", &fresh, {OAUTH_SCOPE, ANSWER, 403, "no_permission"},
		{ENDS, CUSTODY_FOUND_SCOPE, "scope_missing", 1, 1, 0}},

	{"refused once", &plain, {OAUTH_DEAD, ANSWER, 401, "invalid_token"},
		{CUSTODY_PROOF_RENEW, CUSTODY_FOUND_REFUSED, "ambiguous_refusal", 1, 0, 0}},
	{"so is the new one", &fresh, {OAUTH_DEAD, ANSWER, 401, "invalid_token"}, FAULT},
	{"nothing renews it", &alone, {OAUTH_DEAD, ANSWER, 401, "invalid_token"},
		{CUSTODY_PROOF_REPEAT, CUSTODY_FOUND_REFUSED, "ambiguous_refusal", 1, 0, 0}},
	{"refused again", &alone_again, {OAUTH_DEAD, ANSWER, 401, "invalid_token"},
		{ENDS, CUSTODY_FOUND_DEAD, "ambiguous_refusal", 1, 0, 1}},
	{"somebody else's to renew", &passive, {OAUTH_DEAD, ANSWER, 401, "invalid_token"},
		{ENDS, CUSTODY_FOUND_REFUSED, "ambiguous_refusal", 1, 0, 0}},

	{"too fast", &plain, {OAUTH_RATE, ANSWER, 429, "http_429"},
		{ENDS, CUSTODY_FOUND_THROTTLED, NULL, 0, 0, 0}},
	{"introspected with bad credentials", &plain, {OAUTH_APP, ANSWER, 401, "invalid_client"},
		{ENDS, CUSTODY_FOUND_APP, "app_credentials", 1, 0, 0}},
	{"either of both", &plain, {OAUTH_DEAD_OR_APP, ANSWER, 400, "x"}, FAULT},

	{"the provider's trouble", &plain, {OAUTH_RETRY, ANSWER, 503, "http_503"}, OUTAGE},
	{"a page instead of an answer", &plain, {OAUTH_RETRY, ANSWER, 200, "unexpected_answer"},
		OUTAGE},
	{"its own word for it", &plain, {OAUTH_RETRY, ANSWER, 400, "temporarily_unavailable"},
		OUTAGE},
	{"another", &plain, {OAUTH_RETRY, ANSWER, 400, "server_error"}, OUTAGE},
	{"no name", &plain, {OAUTH_RETRY, NOT_SENT, "dns", 0, "dns"}, OUTAGE},
	{"no answer", &plain, {OAUTH_RETRY, OAUTH_TRANSPORT_AMBIGUOUS, "deadline", 0, "deadline"},
		OUTAGE},
	{"no answer to the new one", &fresh, {OAUTH_RETRY, NOT_SENT, "connect", 0, "connect"},
		OUTAGE},

	{"a header it does not take", &plain, {OAUTH_RETRY, ANSWER, 400, "invalid_ticket"}, FAULT},
	{"an address it does not have", &plain, {OAUTH_RETRY, ANSWER, 404, "wrong_address"}, FAULT},
	{"somewhere else", &plain, {OAUTH_RETRY, ANSWER, 302, "redirect"}, FAULT},
	{"a gateway in between", &plain, {OAUTH_RETRY, ANSWER, 403, "http_403"}, FAULT},
	{"somebody unproved", &plain,
		{OAUTH_RETRY, OAUTH_TRANSPORT_CERTIFICATE, "certificate", 0, "certificate"}, FAULT},
	{"an address that is not asked", &plain,
		{OAUTH_RETRY, NOT_SENT, "address_refused", 0, "address_refused"}, FAULT},
};

static int is_as(const struct custody_proof *proof, const struct after *after)
{
	const int same_cause = proof->cause && after->cause
				       ? strcmp(proof->cause, after->cause) == 0
				       : proof->cause == after->cause;

	return proof->step == after->step && proof->found == after->found && same_cause &&
	       proof->says == after->says && proof->is_alive == after->is_alive &&
	       proof->is_dead == after->is_dead;
}

static void every_row_holds(void **state)
{
	int wrong = 0;

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		const struct row *row = &rows[i];
		struct oauth_outcome outcome = {.verdict = row->said.verdict};
		const struct oauth_http_answer answer = {.transport = row->said.transport,
			.cause = row->said.cause,
			.status = row->said.status};
		struct custody_proof proof;

		snprintf(outcome.code, sizeof(outcome.code), "%s", row->said.code);
		memset(&proof, 0x5a, sizeof(proof));
		custody_prove(row->proved, &outcome, &answer, &proof);
		if (is_as(&proof, &row->after))
			continue;
		print_error("%s: %s, %s\n", row->name, custody_found_name(proof.found),
			proof.cause ? proof.cause : "-");
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

static void what_was_found_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (int i = 0; i < CUSTODY_FOUND_COUNT; i++)
		for (int k = 0; k <= i; k++)
			assert_int_equal(strcmp(custody_found_name((enum custody_found)i),
						 custody_found_name((enum custody_found)k)) == 0,
				i == k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_holds),
		cmocka_unit_test(what_was_found_has_a_name_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
