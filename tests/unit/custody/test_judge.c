/* The table from a verdict and a connection's state to what becomes of it, and the quota's
 * arithmetic. */
#include "../support/unit.h"

#include "custody/judge.h"

#include <stdio.h>
#include <string.h>

static const struct oauth_provider zoho = {.name = "zoho",
	.rotation = OAUTH_ROTATION_NEVER,
	.confirm_dead_s = 120,
	.mint_quota = {10, 600}};
static const struct oauth_provider plain = {.name = "plain", .rotation = OAUTH_ROTATION_NEVER};
static const struct oauth_provider grace = {
	.name = "grace", .rotation = OAUTH_ROTATION_ALWAYS, .reuse_grace_s = 60};
static const struct oauth_provider strict = {.name = "strict", .rotation = OAUTH_ROTATION_ALWAYS};

/* What a case begins with. */
struct before {
	const struct oauth_provider *provider;
	const char *state, *cause;
	int failures, refusals, is_ambiguous, is_over, is_storm;
};

/* The answer: verdict, whether the provider may have acted, whether nobody knows what it means, its
 * patience. */
struct said {
	enum oauth_verdict verdict;
	int maybe_done, is_unknown;
	unsigned retry_after_s;
};

/* What has to come of it. wait: from and to, both included; -1: none. */
struct after {
	enum custody_outcome outcome;
	const char *state, *cause, *deferred_by;
	int64_t least_s, most_s;
	int refusals, is_ambiguous, needs_incident, is_death;
};

static const struct row {
	const char *name;
	struct before before;
	struct said said;
	struct after after;
} rows[] = {
	/* the grant is refused */
	{"first refusal waits to be confirmed", {&zoho, "live", "none", 0, 0, 0, 0, 0},
		{OAUTH_DEAD, 0, 0, 0},
		{CUSTODY_REFUSED, "live", "ambiguous_refusal", "refusal", 120, 120, 1, 0, 0, 0}},
	{"the second is final", {&zoho, "live", "ambiguous_refusal", 1, 1, 0, 0, 0},
		{OAUTH_DEAD, 0, 0, 0},
		{CUSTODY_DEAD, "invalid", "user_revoked", NULL, -1, -1, 2, 0, 1, 1}},
	{"where nothing confirms, the first is final", {&plain, "live", "none", 0, 0, 0, 0, 0},
		{OAUTH_DEAD, 0, 0, 0},
		{CUSTODY_DEAD, "invalid", "user_revoked", NULL, -1, -1, 1, 0, 1, 1}},
	{"a grant past its end", {&plain, "live", "none", 0, 0, 0, 1, 0}, {OAUTH_DEAD, 0, 0, 0},
		{CUSTODY_DEAD, "invalid", "grant_expired", NULL, -1, -1, 1, 0, 1, 1}},
	{"one of many is held", {&plain, "live", "none", 0, 0, 0, 0, 1}, {OAUTH_DEAD, 0, 0, 0},
		{CUSTODY_REFUSED, "live", "ambiguous_refusal", "refusal", 540, 661, 1, 0, 0, 1}},
	{"and believed when it is said again", {&plain, "live", "ambiguous_refusal", 1, 1, 0, 0, 1},
		{OAUTH_DEAD, 0, 0, 0},
		{CUSTODY_DEAD, "invalid", "user_revoked", NULL, -1, -1, 2, 0, 1, 1}},
	{"Zoho's confirmed one is held in a storm",
		{&zoho, "live", "ambiguous_refusal", 1, 1, 0, 0, 1}, {OAUTH_DEAD, 0, 0, 0},
		{CUSTODY_REFUSED, "live", "ambiguous_refusal", "refusal", 540, 661, 2, 0, 0, 1}},
	{"and believed the third time", {&zoho, "live", "ambiguous_refusal", 2, 2, 0, 0, 1},
		{OAUTH_DEAD, 0, 0, 0},
		{CUSTODY_DEAD, "invalid", "user_revoked", NULL, -1, -1, 3, 0, 1, 1}},
	{"a first refusal in a storm is none yet", {&zoho, "live", "none", 0, 0, 0, 0, 1},
		{OAUTH_DEAD, 0, 0, 0},
		{CUSTODY_REFUSED, "live", "ambiguous_refusal", "refusal", 120, 120, 1, 0, 0, 0}},
	{"refused after a lost answer",
		{&strict, "quarantined", "ambiguous_rotation", 1, 0, 1, 0, 0},
		{OAUTH_DEAD, 0, 0, 0},
		{CUSTODY_DEAD, "invalid", "ambiguous_rotation", NULL, -1, -1, 1, 0, 1, 1}},
	{"refused after a lost answer, past the grace",
		{&grace, "live", "provider_outage", 1, 0, 1, 0, 0}, {OAUTH_DEAD, 0, 0, 0},
		{CUSTODY_DEAD, "invalid", "ambiguous_rotation", NULL, -1, -1, 1, 0, 1, 1}},

	/* too fast */
	{"the provider names its patience", {&zoho, "live", "none", 0, 0, 0, 0, 0},
		{OAUTH_RATE, 0, 0, 77},
		{CUSTODY_RETRY, "live", "rate_limited", "rate", 77, 77, 0, 0, 0, 0}},
	{"or not", {&zoho, "live", "none", 0, 0, 0, 0, 0}, {OAUTH_RATE, 0, 0, 0},
		{CUSTODY_RETRY, "live", "rate_limited", "rate", 540, 661, 0, 0, 0, 0}},
	{"again: twice as long", {&zoho, "live", "rate_limited", 1, 0, 0, 0, 0},
		{OAUTH_RATE, 0, 0, 0},
		{CUSTODY_RETRY, "live", "rate_limited", "rate", 1080, 1321, 0, 0, 0, 0}},
	{"at most an hour", {&zoho, "live", "rate_limited", 9, 0, 0, 0, 0}, {OAUTH_RATE, 0, 0, 0},
		{CUSTODY_RETRY, "live", "rate_limited", "rate", 3240, 3961, 0, 0, 0, 0}},
	{"a refusal is not forgotten over it", {&zoho, "live", "ambiguous_refusal", 1, 1, 0, 0, 0},
		{OAUTH_RATE, 0, 0, 30},
		{CUSTODY_RETRY, "live", "rate_limited", "rate", 30, 30, 1, 0, 0, 0}},
	{"the settling try is put off",
		{&strict, "quarantined", "ambiguous_rotation", 1, 0, 1, 0, 0},
		{OAUTH_RATE, 0, 0, 30},
		{CUSTODY_RETRY, "quarantined", "ambiguous_rotation", "rate", 30, 30, 0, 0, 0, 0}},

	/* the app */
	{"the app's credentials say nothing of the grant", {&zoho, "live", "none", 0, 0, 0, 0, 0},
		{OAUTH_APP, 0, 0, 0}, {CUSTODY_APP, "live", "none", "gate", 1, 3600, 0, 0, 0, 0}},

	/* no answer */
	{"away", {&zoho, "live", "none", 0, 0, 0, 0, 0}, {OAUTH_RETRY, 0, 0, 0},
		{CUSTODY_RETRY, "live", "provider_outage", "backoff", 27, 34, 0, 0, 0, 0}},
	{"away again", {&zoho, "live", "provider_outage", 2, 0, 0, 0, 0}, {OAUTH_RETRY, 0, 0, 0},
		{CUSTODY_RETRY, "live", "provider_outage", "backoff", 108, 133, 0, 0, 0, 0}},
	{"for long", {&zoho, "live", "provider_outage", 200, 0, 0, 0, 0}, {OAUTH_RETRY, 0, 0, 0},
		{CUSTODY_RETRY, "live", "provider_outage", "backoff", 810, 991, 0, 0, 0, 0}},
	{"for long, and nobody knows why", {&zoho, "live", "provider_outage", 9, 0, 0, 0, 0},
		{OAUTH_RETRY, 0, 1, 0},
		{CUSTODY_RETRY, "live", "our_fault", "backoff", 3240, 3961, 0, 0, 1, 0}},
	{"nobody knows why, at first", {&zoho, "live", "none", 8, 0, 0, 0, 0},
		{OAUTH_RETRY, 0, 1, 0},
		{CUSTODY_RETRY, "live", "provider_outage", "backoff", 810, 991, 0, 0, 0, 0}},
	{"lost, where nothing rotates", {&zoho, "live", "none", 0, 0, 0, 0, 0},
		{OAUTH_RETRY, 1, 0, 0},
		{CUSTODY_RETRY, "live", "provider_outage", "backoff", 27, 34, 0, 0, 0, 0}},
	{"lost, within the grace", {&grace, "live", "none", 0, 0, 0, 0, 0}, {OAUTH_RETRY, 1, 0, 0},
		{CUSTODY_RETRY, "live", "provider_outage", "backoff", 1, 20, 0, 1, 0, 0}},
	{"lost, and perhaps spent", {&strict, "live", "none", 0, 0, 0, 0, 0},
		{OAUTH_RETRY, 1, 0, 0},
		{CUSTODY_AMBIGUOUS, "quarantined", "ambiguous_rotation", "backoff", 1, 3600, 0, 1,
			1, 0}},
	{"not even sent", {&strict, "live", "none", 0, 0, 0, 0, 0}, {OAUTH_RETRY, 0, 0, 0},
		{CUSTODY_RETRY, "live", "provider_outage", "backoff", 27, 34, 0, 0, 0, 0}},
	{"the settling try was not sent",
		{&strict, "quarantined", "ambiguous_rotation", 1, 0, 1, 0, 0},
		{OAUTH_RETRY, 0, 0, 0},
		{CUSTODY_RETRY, "quarantined", "ambiguous_rotation", "backoff", 27, 67, 0, 0, 0,
			0}},
	{"the settling try was lost too: no second incident",
		{&strict, "quarantined", "ambiguous_rotation", 1, 0, 1, 0, 0},
		{OAUTH_RETRY, 1, 0, 0},
		{CUSTODY_AMBIGUOUS, "quarantined", "ambiguous_rotation", "backoff", 1, 3600, 0, 1,
			0, 0}},

	/* it worked */
	{"renewed", {&strict, "quarantined", "ambiguous_rotation", 3, 0, 1, 0, 0},
		{OAUTH_OK, 0, 0, 0},
		{CUSTODY_RENEWED, "quarantined", "ambiguous_rotation", NULL, 0, 0, 0, 0, 0, 0}},
};

static struct store_claim claim_of(const struct before *before)
{
	return (struct store_claim){
		.connection_id = 4711,
		.fence = 3,
		.state = before->state,
		.cause = before->cause,
		.failures = before->failures,
		.refusals = before->refusals,
		.is_ambiguous = before->is_ambiguous,
		.grant_is_over = before->is_over,
		.access_lives = 1,
	};
}

static void check_row(const struct row *row)
{
	const struct store_claim claim = claim_of(&row->before);
	const struct oauth_outcome outcome = {.verdict = row->said.verdict,
		.maybe_done = row->said.maybe_done,
		.is_unknown = row->said.is_unknown,
		.retry_after_s = row->said.retry_after_s};
	const struct after *wanted = &row->after;
	struct custody_judgement got;

	custody_judge(row->before.provider, &claim, &outcome, row->before.is_storm, &got);
	unit_same(row->name, custody_outcome_name(got.outcome),
		custody_outcome_name(wanted->outcome));
	unit_same(row->name, got.state, wanted->state);
	unit_same(row->name, got.cause, wanted->cause);
	unit_same(row->name, got.deferred_by, wanted->deferred_by);
	if (got.wait_s < wanted->least_s || got.wait_s > wanted->most_s)
		fail_msg("%s: waits %lld s", row->name, (long long)got.wait_s);
	if (got.refusals != wanted->refusals || got.is_ambiguous != wanted->is_ambiguous ||
		got.needs_incident != wanted->needs_incident || got.is_death != wanted->is_death)
		fail_msg("%s: refusals %lld, ambiguous %d, incident %d, death %d", row->name,
			(long long)got.refusals, got.is_ambiguous, got.needs_incident,
			got.is_death);
}

static void judges_every_row_of_the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(rows); i++)
		check_row(&rows[i]);
}

/* Whoever cannot be served any more is trouble, however much the provider may come back. */
static void what_has_run_out_and_goes_on_failing_is_an_incident(void **state)
{
	static const struct before live = {&plain, "live", "provider_outage", 2, 0, 0, 0, 0};
	static const struct before young = {&plain, "live", "provider_outage", 1, 0, 0, 0, 0};
	static const struct before known = {
		&strict, "quarantined", "ambiguous_rotation", 2, 0, 0, 0, 0};
	const struct oauth_outcome away = {.verdict = OAUTH_RETRY};
	struct store_claim claim = claim_of(&live);
	struct custody_judgement got;

	(void)state;
	custody_judge(&plain, &claim, &away, 0, &got);
	assert_true(!got.needs_incident && !got.has_run_out);
	claim.access_lives = 0;
	custody_judge(&plain, &claim, &away, 0, &got);
	assert_true(got.needs_incident && got.has_run_out);
	assert_string_equal(got.state, "live");
	claim = claim_of(&young);
	claim.access_lives = 0;
	custody_judge(&plain, &claim, &away, 0, &got);
	assert_false(got.needs_incident);
	claim = claim_of(&known); /* which has one already */
	claim.access_lives = 0;
	custody_judge(&strict, &claim, &away, 0, &got);
	assert_false(got.needs_incident);
}

static void a_refusal_that_waits_is_a_suspicion(void **state)
{
	static const struct before fine = {&zoho, "live", "none", 0, 0, 0, 0, 0};
	static const struct before doubtful = {&zoho, "live", "ambiguous_refusal", 1, 1, 0, 0, 0};
	const struct oauth_outcome dead = {.verdict = OAUTH_DEAD};
	struct store_claim claim = claim_of(&fine);
	struct custody_judgement got;

	(void)state;
	custody_judge(&zoho, &claim, &dead, 0, &got);
	assert_true(got.is_suspicion && !got.needs_incident);
	claim = claim_of(&doubtful);
	custody_judge(&zoho, &claim, &dead, 0, &got);
	assert_true(!got.is_suspicion && got.needs_incident);
}

/* Nothing but a refusal of the grant, or a lost answer of one that rotates, takes a connection out
 * of service. */
static void only_a_refusal_kills(void **state)
{
	static const enum oauth_verdict harmless[] = {
		OAUTH_APP, OAUTH_RATE, OAUTH_RETRY, OAUTH_SCOPE};
	static const struct oauth_provider *const providers[] = {&zoho, &plain, &grace, &strict};

	(void)state;
	for (size_t v = 0; v < UNIT_COUNT(harmless); v++)
		for (size_t p = 0; p < UNIT_COUNT(providers); p++)
			for (int failures = 0; failures < 300; failures += 7) {
				const struct before before = {
					providers[p], "live", "none", failures, 0, 0, 0, 0};
				const struct store_claim claim = claim_of(&before);
				const struct oauth_outcome outcome = {.verdict = harmless[v]};
				struct custody_judgement got;

				custody_judge(providers[p], &claim, &outcome, 1, &got);
				assert_string_equal(got.state, "live");
				assert_true(got.wait_s > 0);
			}
}

static void a_lost_process_is_judged_like_a_lost_answer(void **state)
{
	const struct before before = {NULL, "live", "none", 0, 0, 0, 0, 0};
	const struct store_claim claim = claim_of(&before);
	struct custody_judgement got;

	(void)state;
	custody_judge_lost(&plain, &claim, &got);
	assert_int_equal(got.outcome, CUSTODY_RETRY);
	assert_string_equal(got.state, "live");
	assert_string_equal(got.cause, "none");
	assert_int_equal(got.wait_s, 0);
	assert_false(got.is_ambiguous);
	custody_judge_lost(&grace, &claim, &got);
	assert_string_equal(got.state, "live");
	assert_int_equal(got.wait_s, 0);
	assert_true(got.is_ambiguous);
	custody_judge_lost(&strict, &claim, &got);
	assert_string_equal(got.state, "quarantined");
	assert_string_equal(got.cause, "ambiguous_rotation");
	assert_int_equal(got.wait_s, 0);
	assert_true(got.needs_incident);
}

/* --- the quota ------------------------------------------------------------------------------- */

static struct store_claim minted(size_t n, const int64_t *ages_s)
{
	struct store_claim claim = {.mint_count = n};

	memcpy(claim.mint_ages_s, ages_s, n * sizeof(*ages_s));
	return claim;
}

static void the_schedule_may_use_more_than_the_others(void **state)
{
	static const int64_t ages_s[] = {590, 500, 400, 300, 200, 100, 50, 10};
	struct store_claim claim;

	(void)state;
	claim = minted(4, ages_s + 4);
	assert_int_equal(custody_judge_quota(&zoho, &claim, CUSTODY_WHY_READ), 0);
	claim = minted(5, ages_s + 3);
	assert_int_equal(custody_judge_quota(&zoho, &claim, CUSTODY_WHY_READ), 301);
	assert_int_equal(custody_judge_quota(&zoho, &claim, CUSTODY_WHY_ALL), 301);
	assert_int_equal(custody_judge_quota(&zoho, &claim, CUSTODY_WHY_ADMIN), 301);
	assert_int_equal(custody_judge_quota(&zoho, &claim, CUSTODY_WHY_DUE), 0);
	claim = minted(7, ages_s + 1);
	assert_int_equal(custody_judge_quota(&zoho, &claim, CUSTODY_WHY_DUE), 0);
	claim = minted(8, ages_s);
	assert_int_equal(custody_judge_quota(&zoho, &claim, CUSTODY_WHY_DUE), 11);
	/* a reader has to wait until four of the eight are gone, and one more */
	assert_int_equal(custody_judge_quota(&zoho, &claim, CUSTODY_WHY_READ), 301);
}

static void what_left_the_window_does_not_count(void **state)
{
	static const int64_t ages_s[] = {9000, 700, 600, 599, 3, 2, 1};
	struct store_claim claim = minted(7, ages_s);

	(void)state;
	assert_int_equal(custody_judge_quota(&zoho, &claim, CUSTODY_WHY_READ), 0);
	assert_int_equal(custody_judge_quota(&plain, &claim, CUSTODY_WHY_READ), 0);
}

static void a_quota_larger_than_the_meter_is_the_meter(void **state)
{
	const struct oauth_provider wide = {.mint_quota = {1000, 600}};
	int64_t ages_s[STORE_RENEWAL_MINTS_MAX];
	struct store_claim claim;

	(void)state;
	for (size_t i = 0; i < STORE_RENEWAL_MINTS_MAX; i++)
		ages_s[i] = 100 - (int64_t)i;
	claim = minted(STORE_RENEWAL_MINTS_MAX, ages_s);
	assert_true(custody_judge_quota(&wide, &claim, CUSTODY_WHY_DUE) > 0);
	claim = minted(10, ages_s);
	assert_int_equal(custody_judge_quota(&wide, &claim, CUSTODY_WHY_DUE), 0);
}

static void a_quota_of_one_lets_one_through(void **state)
{
	const struct oauth_provider narrow = {.mint_quota = {1, 60}};
	static const int64_t ages_s[] = {20};
	struct store_claim claim = {0};

	(void)state;
	assert_int_equal(custody_judge_quota(&narrow, &claim, CUSTODY_WHY_READ), 0);
	assert_int_equal(custody_judge_quota(&narrow, &claim, CUSTODY_WHY_DUE), 0);
	claim = minted(1, ages_s);
	assert_int_equal(custody_judge_quota(&narrow, &claim, CUSTODY_WHY_DUE), 41);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(judges_every_row_of_the_table),
		cmocka_unit_test(only_a_refusal_kills),
		cmocka_unit_test(what_has_run_out_and_goes_on_failing_is_an_incident),
		cmocka_unit_test(a_refusal_that_waits_is_a_suspicion),
		cmocka_unit_test(a_lost_process_is_judged_like_a_lost_answer),
		cmocka_unit_test(the_schedule_may_use_more_than_the_others),
		cmocka_unit_test(what_left_the_window_does_not_count),
		cmocka_unit_test(a_quota_larger_than_the_meter_is_the_meter),
		cmocka_unit_test(a_quota_of_one_lets_one_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
