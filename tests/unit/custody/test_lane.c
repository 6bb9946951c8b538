/* Who goes first and who waits, within a run; and what a gate is told. */
#include "../support/service.h"

#include "base/clock.h"
#include "base/text.h"
#include "custody/lane.h"

#include <string.h>

struct stage {
	struct service *s;
	struct custody_lanes *lanes;
	struct store_claim claim;
	const struct oauth_provider *provider;
	struct custody_lane_pair pair;
};

/* A gate that is closed, and knows this definition. */
static struct stage begin(void **state, int careful)
{
	struct stage st = {.s = *state};

	st.provider = oauth_provider_find(st.s->c.providers, "zoho_crm");
	assert_non_null(st.provider);
	st.lanes = custody_lanes_new(&st.s->w, careful, 8);
	st.claim = (struct store_claim){.connection_id = 42,
		.app_id = 7,
		.fence = 1,
		.provider = "zoho_crm",
		.datacenter = "us",
		.state = "live",
		.cause = "none",
		.provider_gate = {5, STORE_GATE_CLOSED, 0, st.provider->version}};
	return st;
}

static enum custody_pass enter(struct stage *st, const void *who, int64_t *wait_s)
{
	enum custody_pass pass;
	const char *cause;

	custody_lanes_of(st->lanes, st->provider, &st->claim, &st->pair);
	assert_int_equal(
		custody_lane_enter(&st->s->w, &st->s->c, &st->pair, who, &pass, wait_s, &cause),
		ERR_OK);
	return pass;
}

static void answer(struct stage *st, const void *who, enum oauth_verdict verdict, const char *code)
{
	struct oauth_outcome outcome = {.verdict = verdict};

	memcpy(outcome.code, code, strlen(code));
	custody_lane_answered(&st->pair, who, &outcome);
}

static void note(struct stage *st)
{
	assert_int_equal(custody_lanes_note(&st->s->w, &st->s->c, st->lanes, 1), ERR_OK);
}

/* What a note answers: gate, state, opened, closed, seconds. */
static void lay_note(const char *state, const char *opened, const char *closed, const char *s)
{
	fake_db_no_rows(STMT_GATE_NOTE);
	FAKE_DB_ROW(STMT_GATE_NOTE, "5", state, opened, closed, s);
}

static void the_first_of_an_app_goes_alone_and_the_others_after_it_proved_the_app(void **state)
{
	struct stage st = begin(state, 1);
	int first, second;
	int64_t wait_s;

	assert_int_equal(enter(&st, &first, &wait_s), CUSTODY_PASS_GO);
	assert_int_equal(enter(&st, &second, &wait_s), CUSTODY_PASS_WAIT);
	answer(&st, &first, OAUTH_OK, "");
	assert_int_equal(enter(&st, &second, &wait_s), CUSTODY_PASS_GO);
	assert_int_equal(enter(&st, &first, &wait_s), CUSTODY_PASS_GO);
}

static void a_refused_grant_proves_the_app_as_well(void **state)
{
	struct stage st = begin(state, 1);
	int first, second;
	int64_t wait_s;

	assert_int_equal(enter(&st, &first, &wait_s), CUSTODY_PASS_GO);
	answer(&st, &first, OAUTH_DEAD, "invalid_code");
	assert_int_equal(enter(&st, &second, &wait_s), CUSTODY_PASS_GO);
}

static void refused_credentials_stop_the_app_after_one_request(void **state)
{
	struct stage st = begin(state, 1);
	int first, second;
	int64_t wait_s;

	assert_int_equal(enter(&st, &first, &wait_s), CUSTODY_PASS_GO);
	answer(&st, &first, OAUTH_APP, "invalid_client");
	assert_int_equal(enter(&st, &second, &wait_s), CUSTODY_PASS_SHUT);
	assert_true(wait_s > 200 && wait_s <= 300);
	/* another app of the same provider is none the worse for it */
	st.claim.app_id = 8;
	assert_int_equal(enter(&st, &second, &wait_s), CUSTODY_PASS_GO);
}

static int is_opened_for(const char *cause)
{
	for (size_t i = 0; i < fake_db_count(STMT_INCIDENT_OPEN_GATE); i++)
		if (text_equal(fake_db_param(STMT_INCIDENT_OPEN_GATE, i, 2), cause))
			return 1;
	return 0;
}

static void refused_credentials_are_one_incident(void **state)
{
	struct stage st = begin(state, 1);
	int first;
	int64_t wait_s;

	enter(&st, &first, &wait_s);
	answer(&st, &first, OAUTH_APP, "invalid_client");
	lay_note("open", "t", "f", "290");
	FAKE_DB_ROW(STMT_INCIDENT_OPEN_GATE, "99", "t", "0");
	note(&st);
	/* the fake opens the provider's gate as well, by the same row */
	assert_true(is_opened_for("app_credentials"));
	assert_int_equal(fake_db_call(STMT_INCIDENT_OPEN_GATE, 0)->fate, FAKE_DB_COMMITTED);
	/* and nothing is counted twice */
	fake_db_forget();
	note(&st);
	assert_int_equal(fake_db_count(STMT_INCIDENT_OPEN_GATE), 0);
}

static void an_outage_leaves_the_app_unproved_and_the_next_one_tries(void **state)
{
	struct stage st = begin(state, 1);
	int first, second, third;
	int64_t wait_s;

	assert_int_equal(enter(&st, &first, &wait_s), CUSTODY_PASS_GO);
	answer(&st, &first, OAUTH_RETRY, "http_503");
	assert_int_equal(enter(&st, &second, &wait_s), CUSTODY_PASS_GO);
	assert_int_equal(enter(&st, &third, &wait_s), CUSTODY_PASS_WAIT);
}

static void a_job_that_never_went_out_gives_its_turn_back(void **state)
{
	struct stage st = begin(state, 1);
	int first, second;
	int64_t wait_s;

	assert_int_equal(enter(&st, &first, &wait_s), CUSTODY_PASS_GO);
	custody_lane_left(&st.pair, &second); /* not its holder: nothing happens */
	assert_int_equal(enter(&st, &second, &wait_s), CUSTODY_PASS_WAIT);
	custody_lane_left(&st.pair, &first);
	assert_int_equal(enter(&st, &second, &wait_s), CUSTODY_PASS_GO);
}

static void one_connection_alone_needs_no_proof_before_it(void **state)
{
	struct stage st = begin(state, 0);
	int first, second;
	int64_t wait_s;

	assert_int_equal(enter(&st, &first, &wait_s), CUSTODY_PASS_GO);
	assert_int_equal(enter(&st, &second, &wait_s), CUSTODY_PASS_GO);
}

static void a_changed_definition_is_tried_on_one_connection_of_all_apps(void **state)
{
	struct stage st = begin(state, 0);
	int first, second;
	int64_t wait_s;

	st.claim.provider_gate.version = "of-yesterday";
	assert_int_equal(enter(&st, &first, &wait_s), CUSTODY_PASS_GO);
	st.claim.app_id = 8;
	assert_int_equal(enter(&st, &second, &wait_s), CUSTODY_PASS_WAIT);
	answer(&st, &first, OAUTH_OK, "");
	assert_int_equal(enter(&st, &second, &wait_s), CUSTODY_PASS_GO);
	/* what worked is remembered for the next run */
	lay_note("closed", "f", "f", NULL);
	note(&st);
	assert_string_equal(fake_db_param(STMT_GATE_NOTE, 0, 11), st.provider->version);
}

static void an_open_gate_lets_nobody_through_until_its_time(void **state)
{
	struct stage st = begin(state, 1);
	int first;
	int64_t wait_s;

	st.claim.provider_gate = (struct store_gate){5, STORE_GATE_OPEN, 40, st.provider->version};
	assert_int_equal(enter(&st, &first, &wait_s), CUSTODY_PASS_SHUT);
	assert_true(wait_s > 35 && wait_s <= 40);
	assert_int_equal(fake_db_count(STMT_GATE_TRY), 0);
}

static void only_who_wins_the_gate_may_try(void **state)
{
	struct stage st = begin(state, 1);
	int first;
	int64_t wait_s;

	st.claim.provider_gate = (struct store_gate){5, STORE_GATE_OPEN, 0, st.provider->version};
	assert_int_equal(enter(&st, &first, &wait_s), CUSTODY_PASS_SHUT); /* another host won */
	assert_int_equal(fake_db_count(STMT_GATE_TRY), 1);
	st = begin(state, 1);
	st.claim.provider_gate = (struct store_gate){5, STORE_GATE_OPEN, 0, st.provider->version};
	FAKE_DB_ROW(STMT_GATE_TRY, "5");
	assert_int_equal(enter(&st, &first, &wait_s), CUSTODY_PASS_GO);
}

static void an_app_that_was_refused_is_proved_by_a_made_up_code_first(void **state)
{
	struct stage st = begin(state, 1);
	int first, second;
	int64_t wait_s;

	st.claim.app_gate = (struct store_gate){9, STORE_GATE_HALF_OPEN, 0, NULL};
	FAKE_DB_ROW(STMT_GATE_TRY, "9");
	assert_int_equal(enter(&st, &first, &wait_s), CUSTODY_PASS_PROVE_APP);
	assert_int_equal(enter(&st, &second, &wait_s), CUSTODY_PASS_WAIT);
	custody_lane_app_proved(&st.pair);
	assert_int_equal(enter(&st, &second, &wait_s), CUSTODY_PASS_GO);
}

static void a_gate_that_closes_resolves_its_incident_and_wakes_who_waited(void **state)
{
	struct stage st = begin(state, 1);
	int first;
	int64_t wait_s;

	st.claim.provider_gate = (struct store_gate){5, STORE_GATE_OPEN, 0, st.provider->version};
	FAKE_DB_ROW(STMT_GATE_TRY, "5");
	enter(&st, &first, &wait_s);
	answer(&st, &first, OAUTH_OK, "");
	lay_note("closed", "f", "t", NULL);
	FAKE_DB_ROW(STMT_INCIDENT_RESOLVE_GATE, "99", "60", "0");
	FAKE_DB_ROW(STMT_GATE_RESUME, "0");
	note(&st);
	assert_int_equal(fake_db_count(STMT_INCIDENT_RESOLVE_GATE), 1);
	assert_int_equal(fake_db_count(STMT_GATE_RESUME), 1);
	assert_int_equal(custody_lanes_resumed_until_ms(st.lanes), 0); /* there was nobody */
	st.claim.provider_gate.state = STORE_GATE_CLOSED;
	assert_int_equal(enter(&st, &first, &wait_s), CUSTODY_PASS_GO);
}

static void a_run_waits_for_those_that_its_gate_woke(void **state)
{
	struct stage st = begin(state, 1);
	int first;
	int64_t wait_s, now_ms = clock_monotonic_ms();

	st.claim.provider_gate = (struct store_gate){5, STORE_GATE_OPEN, 0, st.provider->version};
	FAKE_DB_ROW(STMT_GATE_TRY, "5");
	enter(&st, &first, &wait_s);
	answer(&st, &first, OAUTH_OK, "");
	lay_note("closed", "f", "t", NULL);
	FAKE_DB_ROW(STMT_INCIDENT_RESOLVE_GATE, "99", "60", "0");
	FAKE_DB_ROW(STMT_GATE_RESUME, "2");
	note(&st);
	assert_true(custody_lanes_resumed_until_ms(st.lanes) >= now_ms + 15000);
}

static void a_doubted_app_holds_everybody_else_until_it_is_proved(void **state)
{
	struct stage st = begin(state, 0);
	int first, second;
	int64_t wait_s;

	assert_int_equal(enter(&st, &first, &wait_s), CUSTODY_PASS_GO);
	custody_lane_doubt_app(&st.pair, &first);
	assert_int_equal(enter(&st, &second, &wait_s), CUSTODY_PASS_WAIT);
	custody_lane_app_proved(&st.pair);
	assert_int_equal(enter(&st, &second, &wait_s), CUSTODY_PASS_GO);
}

static void throttling_of_an_app_shuts_it_only_when_it_is_said_again_and_again(void **state)
{
	struct stage st = begin(state, 0);
	int first;
	int64_t wait_s;

	enter(&st, &first, &wait_s);
	answer(&st, &first, OAUTH_RATE, "access_denied");
	lay_note("closed", "f", "f", NULL);
	note(&st);
	for (size_t i = 0; i < fake_db_count(STMT_GATE_NOTE); i++)
		if (fake_db_param(STMT_GATE_NOTE, i, 3)) {
			assert_string_equal(fake_db_param(STMT_GATE_NOTE, i, 7), "rate_limited");
			assert_string_equal(fake_db_param(STMT_GATE_NOTE, i, 8), "3");
			return;
		}
	fail_msg("the app's gate was not told");
}

static void codes_are_counted_apart(void **state)
{
	struct stage st = begin(state, 0);
	int first;
	int64_t wait_s;

	enter(&st, &first, &wait_s);
	for (int i = 0; i < 4; i++)
		answer(&st, &first, OAUTH_RETRY, "http_503");
	answer(&st, &first, OAUTH_RETRY, "connect");
	lay_note("closed", "f", "f", NULL);
	note(&st);
	assert_string_equal(fake_db_param(STMT_GATE_NOTE, 0, 5), "1");
	assert_string_equal(fake_db_param(STMT_GATE_NOTE, 0, 6), "connect");
}

static void what_could_not_be_written_is_not_forgotten(void **state)
{
	struct stage st = begin(state, 0);
	int first;
	int64_t wait_s;

	enter(&st, &first, &wait_s);
	answer(&st, &first, OAUTH_RETRY, "http_503");
	fake_db_fail(STMT_GATE_NOTE, ERR_DB_AWAY);
	assert_int_equal(custody_lanes_note(&st.s->w, &st.s->c, st.lanes, 1), ERR_DB_AWAY);
	fake_db_fail(STMT_GATE_NOTE, ERR_OK);
	fake_db_forget();
	lay_note("closed", "f", "f", NULL);
	note(&st);
	assert_string_equal(fake_db_param(STMT_GATE_NOTE, 0, 5), "1");
}

static void five_deaths_are_a_storm(void **state)
{
	struct stage st = begin(state, 0);
	const struct store_gate_key key = {"zoho_crm", "us", 0};
	int is_storm = 1;

	FAKE_DB_ROW(STMT_GATE_DEATH, "4");
	FAKE_DB_ROW(STMT_INCIDENT_OPEN_GATE, "99", "t", "0");
	assert_int_equal(custody_lane_deaths(&st.s->w, &st.s->c, &key, 5, 1, &is_storm), ERR_OK);
	assert_false(is_storm);
	assert_int_equal(fake_db_count(STMT_INCIDENT_OPEN_GATE), 0);
	fake_db_no_rows(STMT_GATE_DEATH);
	FAKE_DB_ROW(STMT_GATE_DEATH, "5");
	assert_int_equal(custody_lane_deaths(&st.s->w, &st.s->c, &key, 5, 1, &is_storm), ERR_OK);
	assert_true(is_storm);
	assert_int_equal(fake_db_count(STMT_INCIDENT_OPEN_GATE), 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SERVICE_TEST(the_first_of_an_app_goes_alone_and_the_others_after_it_proved_the_app),
		SERVICE_TEST(a_refused_grant_proves_the_app_as_well),
		SERVICE_TEST(refused_credentials_stop_the_app_after_one_request),
		SERVICE_TEST(refused_credentials_are_one_incident),
		SERVICE_TEST(an_outage_leaves_the_app_unproved_and_the_next_one_tries),
		SERVICE_TEST(a_job_that_never_went_out_gives_its_turn_back),
		SERVICE_TEST(one_connection_alone_needs_no_proof_before_it),
		SERVICE_TEST(a_changed_definition_is_tried_on_one_connection_of_all_apps),
		SERVICE_TEST(an_open_gate_lets_nobody_through_until_its_time),
		SERVICE_TEST(only_who_wins_the_gate_may_try),
		SERVICE_TEST(an_app_that_was_refused_is_proved_by_a_made_up_code_first),
		SERVICE_TEST(a_gate_that_closes_resolves_its_incident_and_wakes_who_waited),
		SERVICE_TEST(a_run_waits_for_those_that_its_gate_woke),
		SERVICE_TEST(a_doubted_app_holds_everybody_else_until_it_is_proved),
		SERVICE_TEST(throttling_of_an_app_shuts_it_only_when_it_is_said_again_and_again),
		SERVICE_TEST(codes_are_counted_apart),
		SERVICE_TEST(what_could_not_be_written_is_not_forgotten),
		SERVICE_TEST(five_deaths_are_a_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
