/* A run: its order, what it writes, and what is still done behind a fault. */
#include "../support/service.h"

#include "fake_engine.h"
#include "refresh/run.h"
#include "store/run.h"

#include <string.h>

static const struct custody_renewal ends[] = {
	{.client = "a", .provider = "p", .outcome = CUSTODY_RENEWED, .cause = "none", .code = ""},
	{.client = "b", .provider = "p", .outcome = CUSTODY_RENEWED, .cause = "none", .code = ""},
	{.client = "c",
		.provider = "p",
		.outcome = CUSTODY_DEAD,
		.cause = "user_revoked",
		.code = "x"},
};

static struct fake_engine *lay_down(const char *need)
{
	struct fake_engine *fake = fake_engine_begin();

	fake->renewals = ends;
	fake->n = UNIT_COUNT(ends);
	fake_db_role(STORE_REFRESHER);
	FAKE_DB_ROW(STMT_RUN_BEGIN, "7");
	FAKE_DB_ROW(STMT_RENEWAL_COUNT_DUE, "3");
	FAKE_DB_ROW(STMT_RENEWAL_COUNT_ALL, "30");
	FAKE_DB_ROW(STMT_REPORT_NEED_PERSON, need, need, "0", "0");
	FAKE_DB_ROW(STMT_AUDIT_MAKE_PARTITIONS, "1");
	FAKE_DB_ROW(STMT_ATTEMPT_SWEEP, "0", "0", "0", "0");
	FAKE_DB_ROW(STMT_TOKEN_PRUNE, "0");
	return fake;
}

static struct refresh_result run(
	struct service *s, const struct refresh_options *options, const volatile sig_atomic_t *stop)
{
	struct refresh_output output;
	struct refresh_result result;

	refresh_output_begin(&output, 1); /* which prints nothing before its end */
	refresh_run(&s->w, &s->c, options, 1000, stop, &output, &result);
	refresh_output_free(&output);
	return result;
}

static struct refresh_result run_due(struct service *s)
{
	return run(s, &(struct refresh_options){.mode = REFRESH_DUE}, NULL);
}

static void all_is_done_in_order(void **state)
{
	static const enum stmt order[] = {STMT_RUN_PRUNE, STMT_RUN_BEGIN, STMT_RENEWAL_COUNT_DUE,
		STMT_REPORT_NEED_PERSON, STMT_AUDIT_MAKE_PARTITIONS, STMT_ATTEMPT_SWEEP,
		STMT_TOKEN_PRUNE, STMT_RUN_END, STMT_OUTBOX_REMIND, STMT_OUTBOX_FORECAST,
		STMT_OUTBOX_MISSED, STMT_OUTBOX_SUMMARY, STMT_OUTBOX_WITHDRAW};
	struct fake_engine *fake = lay_down("0");
	struct refresh_result result;

	fake->distributed = 2;
	fake->not_distributed = 1;
	fake->recovered.stored = 4;
	fake->revoked.accepted = 5;
	result = run_due(*state);
	assert_int_equal(result.err, ERR_OK);
	assert_int_equal(fake->recover_count, 1);
	assert_int_equal(fake->revoke_count, 1);
	assert_int_equal(fake->renew_count, 1);
	assert_int_equal(fake_db_total(), UNIT_COUNT(order));
	for (size_t i = 0; i < UNIT_COUNT(order); i++)
		assert_int_equal(fake_db_count(order[i]), 1);
	for (size_t i = 1; i < UNIT_COUNT(order); i++) /* they are kept as they came */
		assert_true(fake_db_call(order[i - 1], 0) < fake_db_call(order[i], 0));
	unit_same("mode", fake_db_param(STMT_RUN_BEGIN, 0, 2), "due");
	unit_same("run", fake_db_param(STMT_RUN_END, 0, 1), "7");
	unit_same("exit", fake_db_param(STMT_RUN_END, 0, 2), "0");
	unit_holds("counts", fake_db_param(STMT_RUN_END, 0, 3), "{\"due\":3,\"renewed\":2,");
	unit_holds("counts", fake_db_param(STMT_RUN_END, 0, 3), "\"dead\":1,");
	unit_holds("counts", fake_db_param(STMT_RUN_END, 0, 3), "\"stored\":4,");
	unit_holds("counts", fake_db_param(STMT_RUN_END, 0, 3),
		"\"revocations\":{\"accepted\":5,\"gone\":0,\"unconfirmed\":0,\"pending\":0}");
	unit_holds("counts", fake_db_param(STMT_RUN_END, 0, 3),
		"\"stores\":{\"distributed\":2,\"behind\":1}");
	unit_same("error", fake_db_param(STMT_RUN_END, 0, 4), NULL);
	assert_true(result.ended_ms >= result.began_ms && result.began_ms > 0);
}

/* What is written by a run can be told from what others write. */
static void events_name_the_run(void **state)
{
	struct service *s = *state;

	lay_down("0");
	run_due(s);
	unit_same("request", fake_db_param(STMT_ATTEMPT_SWEEP, 0, 6), "run-7");
	unit_same("run", fake_db_param(STMT_ATTEMPT_SWEEP, 0, 7), "7");
	unit_same("actor", fake_db_param(STMT_ATTEMPT_SWEEP, 0, 8), "system:refresh");
	unit_same("auth", fake_db_param(STMT_ATTEMPT_SWEEP, 0, 9), "cron");
	unit_same("request", s->w.origin.request_id, "run-7");
}

static void the_engine_is_told_what_was_asked_for(void **state)
{
	static const volatile sig_atomic_t stop;
	const struct refresh_options all = {
		.mode = REFRESH_ALL, .client = "acme", .provider = "zoho_crm", .deadline_s = 9};
	struct fake_engine *fake = lay_down("0");

	run(*state, &all, &stop);
	assert_int_equal(fake->asked.why, CUSTODY_WHY_ALL);
	unit_same("client", fake->asked.filter.client, "acme");
	unit_same("provider", fake->asked.filter.provider, "zoho_crm");
	assert_int_equal(fake->asked.deadline_ms, 1000 + 9000);
	assert_ptr_equal(fake->asked.stop, &stop);
	unit_same("mode", fake_db_param(STMT_RUN_BEGIN, 0, 2), "all");
	unit_same("client", fake_db_param(STMT_RENEWAL_COUNT_ALL, 0, 1), "acme");
	unit_same("provider", fake_db_param(STMT_REPORT_NEED_PERSON, 0, 2), "zoho_crm");
	unit_holds("due", fake_db_param(STMT_RUN_END, 0, 3), "\"due\":30,");
	run_due(*state);
	assert_int_equal(fake->asked.why, CUSTODY_WHY_DUE);
	assert_true(fake->asked.deadline_ms == INT64_MAX);
}

static const struct custody_finding found[] = {
	{.client = "a",
		.provider = "p",
		.found = CUSTODY_FOUND_PROVED,
		.code = "",
		.status = "healthy",
		.cause = "none",
		.action = "none",
		.owner = "none"},
	{.client = "b",
		.provider = "p",
		.found = CUSTODY_FOUND_FAULT,
		.code = "wrong_address",
		.status = "unreachable",
		.cause = "our_fault",
		.action = "investigate",
		.owner = "operator"},
};

static struct fake_engine *lay_down_check(void)
{
	struct fake_engine *fake = lay_down("0");

	fake->findings = found;
	fake->finding_count = UNIT_COUNT(found);
	fake->total = 5;
	FAKE_DB_ROW(STMT_REPORT_COUNT, "5", "1");
	return fake;
}

static void a_check_is_told_what_was_asked_for(void **state)
{
	static const volatile sig_atomic_t stop;
	const struct refresh_options check = {.mode = REFRESH_CHECK,
		.client = "acme",
		.provider = "zoho_crm",
		.deadline_s = 9,
		.concurrency = 4};
	struct fake_engine *fake = lay_down_check();
	struct refresh_result result = run(*state, &check, &stop);

	assert_int_equal(result.err, ERR_OK);
	assert_int_equal(fake->check_count, 1);
	assert_int_equal(fake->renew_count, 0);
	assert_int_equal(fake->recover_count, 1);
	assert_int_equal(fake->check.scope.client_count, 1);
	unit_same("client", fake->check.scope.clients[0], "acme");
	unit_same("provider", fake->check.scope.providers[0], "zoho_crm");
	assert_int_equal(fake->check.deadline_ms, 1000 + 9000);
	assert_int_equal(fake->check.concurrency, 4);
	assert_ptr_equal(fake->check.stop, &stop);
	assert_false(fake->check.is_dry);
	unit_same("mode", fake_db_param(STMT_RUN_BEGIN, 0, 2), "check");
	unit_same("forecast", fake_db_param(STMT_FORECAST_ENDS, 0, 1), "acme");
	assert_int_equal(fake_db_count(STMT_FORECAST_GRANTS), 1);
	unit_holds("counts", fake_db_param(STMT_RUN_END, 0, 3),
		"{\"checked\":2,\"unhealthy\":1,\"remaining\":3,\"proved\":1,");
	unit_holds("counts", fake_db_param(STMT_RUN_END, 0, 3), "\"fault\":1,");
	assert_true(result.is_cut_short);
	assert_int_equal(fake_db_count(STMT_ATTEMPT_SWEEP), 1);
}

static void a_check_of_all_has_no_filter(void **state)
{
	struct fake_engine *fake = lay_down_check();

	run(*state, &(struct refresh_options){.mode = REFRESH_CHECK, .concurrency = 1}, NULL);
	assert_null(fake->check.scope.clients);
	assert_null(fake->check.scope.providers);
	assert_true(fake->check.deadline_ms == INT64_MAX);
}

static void a_check_that_fails_writes_its_end(void **state)
{
	struct fake_engine *fake = lay_down_check();
	struct refresh_result result;

	fake->check_err = ERR_DB_AWAY;
	result = run(*state, &(struct refresh_options){.mode = REFRESH_CHECK}, NULL);
	assert_int_equal(result.err, ERR_DB_AWAY);
	unit_holds("why", result.why, "check: ");
	assert_int_equal(fake_db_count(STMT_FORECAST_ENDS), 0);
	unit_same("exit", fake_db_param(STMT_RUN_END, 0, 2), "1");
}

static void a_person_is_needed(void **state)
{
	struct refresh_result result;

	lay_down("5");
	result = run_due(*state);
	assert_int_equal(result.err, ERR_OK);
	assert_int_equal(result.need.total, 5);
	unit_same("exit", fake_db_param(STMT_RUN_END, 0, 2), "2");
}

static void a_run_that_is_stopped_says_so(void **state)
{
	static const volatile sig_atomic_t stop = 1;
	struct refresh_result result;

	lay_down("0");
	result = run(*state, &(struct refresh_options){.mode = REFRESH_DUE}, &stop);
	assert_int_equal(result.err, ERR_OK);
	assert_true(result.is_cut_short);
	unit_same("exit", fake_db_param(STMT_RUN_END, 0, 2), "0");
	unit_holds("counts", fake_db_param(STMT_RUN_END, 0, 3), "\"cutShort\":true");
}

/* Nothing is counted or swept behind a run that failed, but its end is written, once. */
static void a_failed_run_writes_its_end(void **state)
{
	struct fake_engine *fake = lay_down("5");
	struct service *s = *state;
	struct refresh_result result;

	fake->renew_err = ERR_DB_AWAY;
	result = run_due(s);
	assert_null(s->w.cause); /* it is told once, and stands in nobody's way */
	assert_int_equal(result.err, ERR_DB_AWAY);
	unit_holds("why", result.why, "renewal: The database cannot be reached (played)");
	assert_int_equal(fake_db_count(STMT_REPORT_NEED_PERSON), 0);
	assert_int_equal(fake_db_count(STMT_ATTEMPT_SWEEP), 0);
	assert_int_equal(fake_db_count(STMT_RUN_END), 1);
	unit_same("exit", fake_db_param(STMT_RUN_END, 0, 2), "1");
	unit_same("error", fake_db_param(STMT_RUN_END, 0, 4), "database_unavailable");
	unit_holds("counts", fake_db_param(STMT_RUN_END, 0, 3), "\"renewed\":2,");
	unit_holds("counts", fake_db_param(STMT_RUN_END, 0, 3), "\"needPerson\":null");
}

/* What was removed harms no renewal; and nothing of it begins when the run is to end at once. */
static void a_revocation_that_fails_stops_no_renewal(void **state)
{
	struct fake_engine *fake = lay_down("0");
	struct refresh_result result;

	fake->revoke_err = ERR_DB;
	result = run(*state, &(struct refresh_options){.mode = REFRESH_DUE, .deadline_s = 9}, NULL);
	assert_int_equal(fake->renew_count, 1);
	assert_int_equal(fake->revoke_until_ms, 1000 + 9000);
	assert_int_equal(result.err, ERR_DB);
	unit_holds("why", result.why, "revocation: ");
}

/* A spool that cannot be settled holds up its own connections, not all of them. */
static void a_spool_that_cannot_be_settled_stops_no_renewal(void **state)
{
	struct fake_engine *fake = lay_down("5");
	struct refresh_result result;

	fake->recover_err = ERR_IO;
	result = run_due(*state);
	assert_int_equal(fake->renew_count, 1);
	assert_int_equal(result.err, ERR_IO);
	unit_holds("why", result.why, "recovery: ");
	assert_int_equal(result.counts[CUSTODY_RENEWED], 2);
	assert_int_equal(result.need.total, 5);
	unit_same("exit", fake_db_param(STMT_RUN_END, 0, 2), "1");
	unit_same("error", fake_db_param(STMT_RUN_END, 0, 4), "storage");
}

static void a_database_that_goes_away_in_recovery_does(void **state)
{
	struct fake_engine *fake = lay_down("0");
	struct refresh_result result;

	fake->recover_err = ERR_DB_TIMEOUT;
	result = run_due(*state);
	assert_int_equal(fake->renew_count, 0);
	assert_int_equal(result.err, ERR_DB_TIMEOUT);
	assert_int_equal(fake_db_count(STMT_RUN_END), 1);
}

static void without_a_row_there_is_no_run(void **state)
{
	struct fake_engine *fake = lay_down("0");
	struct refresh_result result;

	fake_db_fail(STMT_RUN_BEGIN, ERR_DB);
	result = run_due(*state);
	assert_int_equal(result.err, ERR_DB);
	assert_int_equal(fake->recover_count + fake->renew_count, 0);
	assert_int_equal(fake_db_count(STMT_RUN_END), 0);
	fake_db_fail(STMT_RUN_BEGIN, ERR_OK);
	fake_db_ready(ERR_DB_AWAY);
	result = run_due(*state);
	assert_int_equal(result.err, ERR_DB_AWAY);
	assert_int_equal(fake->recover_count + fake->renew_count, 0);
}

/* The first fault is the run's; what goes wrong behind it does not hide it. */
static void the_first_fault_is_told(void **state)
{
	struct fake_engine *fake = lay_down("0");
	struct refresh_result result;

	fake->recover_err = ERR_IO;
	fake_db_fail(STMT_AUDIT_MAKE_PARTITIONS, ERR_DB);
	result = run_due(*state);
	assert_int_equal(result.err, ERR_IO);
	assert_int_equal(fake_db_count(STMT_ATTEMPT_SWEEP), 0);
	unit_same("error", fake_db_param(STMT_RUN_END, 0, 4), "storage");
	fake->recover_err = ERR_OK;
	fake_db_forget();
	result = run_due(*state);
	assert_int_equal(result.err, ERR_DB);
	unit_same("error", fake_db_param(STMT_RUN_END, 0, 4), "database");
	unit_holds("why", result.why, "audit partitions: ");
}

/* A worker may be at a flow for as long as three calls of a provider take. */
static void a_flow_is_lost_only_when_no_worker_can_be_at_it(void **state)
{
	struct service *s = *state;

	lay_down("0");
	run_due(s);
	unit_same("least", fake_db_param(STMT_ATTEMPT_SWEEP, 0, 1), "600");
	s->conf.number[CONF_provider_timeout_s] = 300;
	fake_db_forget();
	run_due(s);
	unit_same("slow provider", fake_db_param(STMT_ATTEMPT_SWEEP, 0, 1), "1200");
}

static void history_is_kept_as_long_as_it_is_set(void **state)
{
	struct service *s = *state;

	s->conf.number[CONF_token_history_days] = 45;
	lay_down("0");
	run_due(s);
	unit_same("days", fake_db_param(STMT_TOKEN_PRUNE, 0, 1), "45");
}

static void the_heap_is_as_large_as_the_run(void **state)
{
	static const struct {
		int64_t concurrency;
		size_t mebibytes;
	} cases[] = {
		{1, 8}, {50, 8}, {64, 8}, {65, 16}, {192, 32}, {200, 32}, {500, 64}, {1000, 128}};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(cases); i++)
		assert_int_equal(
			refresh_run_heap_bytes(cases[i].concurrency), cases[i].mebibytes << 20);
}

static void faults_are_told_to_people(void **state)
{
	struct service *s = *state;

	s->conf.origin[CONF_database] = "/etc/vestal/vestal.conf:3";
	unit_same("title", refresh_run_explain(&s->w, &s->conf, ERR_DB),
		"The database refused a statement");
	unit_same("spool", refresh_run_explain(&s->w, &s->conf, ERR_IO),
		work_printf(&s->w,
			"A file could not be read or written: is %s/state/spool there, writable "
			"and not full?",
			s->dir));
	work_cause(&s->w, ERR_DB_AWAY, "connect failed");
	unit_same("setting", refresh_run_explain(&s->w, &s->conf, ERR_DB_AWAY),
		"The database cannot be reached (connect failed): see setting database (set in "
		"/etc/vestal/vestal.conf:3)");
	unit_holds("schema", refresh_run_explain(&s->w, &s->conf, ERR_SCHEMA_MISMATCH),
		"vestalctl migrate");
	work_fail(&s->w, ERR_CONFIG, "setting x: no");
	unit_same("detail", refresh_run_explain(&s->w, &s->conf, ERR_CONFIG), "setting x: no");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVICE_TEST(all_is_done_in_order),
		SERVICE_TEST(events_name_the_run),
		SERVICE_TEST(the_engine_is_told_what_was_asked_for),
		SERVICE_TEST(a_check_is_told_what_was_asked_for),
		SERVICE_TEST(a_check_of_all_has_no_filter),
		SERVICE_TEST(a_check_that_fails_writes_its_end),
		SERVICE_TEST(a_person_is_needed),
		SERVICE_TEST(a_run_that_is_stopped_says_so),
		SERVICE_TEST(a_failed_run_writes_its_end),
		SERVICE_TEST(a_revocation_that_fails_stops_no_renewal),
		SERVICE_TEST(a_spool_that_cannot_be_settled_stops_no_renewal),
		SERVICE_TEST(a_database_that_goes_away_in_recovery_does),
		SERVICE_TEST(without_a_row_there_is_no_run),
		SERVICE_TEST(the_first_fault_is_told),
		SERVICE_TEST(a_flow_is_lost_only_when_no_worker_can_be_at_it),
		SERVICE_TEST(history_is_kept_as_long_as_it_is_set),
		SERVICE_TEST(the_heap_is_as_large_as_the_run),
		SERVICE_TEST(faults_are_told_to_people),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
