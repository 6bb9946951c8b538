/* --dry-run: told whole, and nothing but looked at. */
#include "../support/service.h"

#include "captured.h"
#include "refresh/plan.h"

#include <string.h>

static void lay_down(const char *need)
{
	fake_db_role(STORE_REFRESHER);
	FAKE_DB_ROW(STMT_REPORT_NEED_PERSON, need, "1", "0", "0");
	FAKE_DB_ROW(STMT_RENEWAL_PLAN, "acme", "zoho_crm", "renew", "due", "42", NULL, "none");
	FAKE_DB_ROW(STMT_RENEWAL_PLAN, "globex", "zoho_crm", "wait", "rate", "0", "900",
		"rate_limited");
	FAKE_DB_ROW(STMT_RENEWAL_PLAN, "initech", "zoho_crm", "settle", "due", "7", NULL,
		"ambiguous_rotation");
}

static char *plan(struct service *s, const struct refresh_options *options, int *exit_code)
{
	enum err err;

	captured_begin(NULL);
	err = refresh_plan(&s->w, &s->c, options, exit_code);
	assert_int_equal(err, ERR_OK);
	return captured_end(&s->w);
}

static void a_table_says_what_and_why(void **state)
{
	const struct refresh_options options = {.mode = REFRESH_DUE};
	int exit_code = -1;
	char *text;

	lay_down("0");
	text = plan(*state, &options, &exit_code);
	unit_same("table", text,
		"CLIENT   PROVIDER  WOULD   WHY   OVERDUE  WAIT   CAUSE               MEANING\n"
		"acme     zoho_crm  renew   due   42 s     -      none                its time has "
		"come\n"
		"globex   zoho_crm  wait    rate  -        900 s  rate_limited        the provider "
		"asked for patience\n"
		"initech  zoho_crm  settle  due   7 s      -      ambiguous_rotation  its time has "
		"come\n"
		"1 would be renewed, 1 settled, 1 would wait; 0 need a person\n");
	assert_int_equal(exit_code, 0);
}

static void a_document_says_the_same(void **state)
{
	const struct refresh_options options = {.mode = REFRESH_ALL, .is_json = 1};
	int exit_code = -1;
	char *text;

	lay_down("1");
	text = plan(*state, &options, &exit_code);
	unit_same("json", text,
		"{\"mode\":\"all\",\"dryRun\":true,\"connections\":["
		"{\"clientId\":\"acme\",\"provider\":\"zoho_crm\",\"would\":\"renew\",\"why\":"
		"\"due\","
		"\"overdueSeconds\":42,\"waitSeconds\":null,\"cause\":\"none\"},"
		"{\"clientId\":\"globex\",\"provider\":\"zoho_crm\",\"would\":\"wait\","
		"\"why\":\"rate\",\"overdueSeconds\":0,\"waitSeconds\":900,"
		"\"cause\":\"rate_limited\"},"
		"{\"clientId\":\"initech\",\"provider\":\"zoho_crm\",\"would\":\"settle\","
		"\"why\":\"due\",\"overdueSeconds\":7,\"waitSeconds\":null,"
		"\"cause\":\"ambiguous_rotation\"}],"
		"\"counts\":{\"renew\":1,\"settle\":1,\"wait\":1},"
		"\"needPerson\":{\"total\":1,\"reauthorize\":1,\"fixApp\":0,\"investigate\":0},"
		"\"exitCode\":2}\n");
	assert_int_equal(exit_code, 2);
}

static void the_filter_reaches_the_database(void **state)
{
	const struct refresh_options options = {
		.mode = REFRESH_ALL, .client = "acme", .provider = "zoho_crm"};
	int exit_code = -1;

	lay_down("0");
	plan(*state, &options, &exit_code);
	unit_same("mode", fake_db_param(STMT_RENEWAL_PLAN, 0, 1), "t");
	unit_same("client", fake_db_param(STMT_RENEWAL_PLAN, 0, 2), "acme");
	unit_same("provider", fake_db_param(STMT_RENEWAL_PLAN, 0, 3), "zoho_crm");
	unit_same("client", fake_db_param(STMT_REPORT_NEED_PERSON, 0, 1), "acme");
	unit_same("provider", fake_db_param(STMT_REPORT_NEED_PERSON, 0, 2), "zoho_crm");
	assert_int_equal(fake_db_total(), 2); /* and nothing else is asked of it */
}

static void a_fault_is_the_runs(void **state)
{
	const struct refresh_options options = {.mode = REFRESH_DUE};
	struct service *s = *state;
	int exit_code = -1;
	enum err err;

	lay_down("0");
	fake_db_fail(STMT_RENEWAL_PLAN, ERR_DB_TIMEOUT);
	captured_begin(NULL);
	err = refresh_plan(&s->w, &s->c, &options, &exit_code);
	captured_end(&s->w);
	assert_int_equal(err, ERR_DB_TIMEOUT);
}

static void every_reason_has_words(void **state)
{
	static const char *const whys[] = {"due", "all", "leased", "app_gate", "provider_gate",
		"backoff", "gate", "quota", "rate", "refusal"};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(whys); i++)
		assert_true(strlen(refresh_plan_reason(whys[i])) > 5);
	unit_same("nobody's", refresh_plan_reason("nonsense"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVICE_TEST(a_table_says_what_and_why),
		SERVICE_TEST(a_document_says_the_same),
		SERVICE_TEST(the_filter_reaches_the_database),
		SERVICE_TEST(a_fault_is_the_runs),
		SERVICE_TEST(every_reason_has_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
