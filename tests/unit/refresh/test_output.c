/* What is told while a run goes on, into a pipe or a file. */
#include "../support/unit.h"

#include "captured.h"
#include "refresh/output.h"

#include <string.h>

static const struct custody_renewal renewed = {.generation = 12,
	.client = "acme",
	.provider = "zoho_crm",
	.outcome = CUSTODY_RENEWED,
	.cause = "none",
	.code = "",
	.wait_s = -1};
static const struct custody_renewal retry = {.generation = 3,
	.client = "globex",
	.provider = "zoho_crm",
	.outcome = CUSTODY_RETRY,
	.cause = "provider_outage",
	.code = "http_503",
	.wait_s = 30};
static const struct custody_renewal dead = {.generation = 4,
	.client = "initech",
	.provider = "zoho_calendar",
	.outcome = CUSTODY_DEAD,
	.cause = "user_revoked",
	.code = "invalid_code",
	.wait_s = -1};
static const struct refresh_result result = {.mode = "due", .host = "host-a"};

static void a_line_has_six_words(void **state)
{
	const struct custody_renewal bare = {
		.client = "a", .provider = "p", .outcome = CUSTODY_BUSY};
	char line[REFRESH_LINE_BYTES];

	size_t n = refresh_output_line(&renewed, line);

	(void)state;
	assert_int_equal(n, strlen(line));
	unit_same("renewed", line, "acme\tzoho_crm\trenewed\tnone\t-\t12\n");
	refresh_output_line(&dead, line);
	unit_same("dead", line, "initech\tzoho_calendar\tdead\tuser_revoked\tinvalid_code\t4\n");
	refresh_output_line(&bare, line);
	unit_same("bare", line, "a\tp\tbusy\t-\t-\t0\n");
}

static void a_line_is_never_too_long(void **state)
{
	char many[1000], line[REFRESH_LINE_BYTES];
	struct custody_renewal long_one = renewed;
	size_t n;

	(void)state;
	memset(many, 'x', sizeof(many) - 1);
	many[sizeof(many) - 1] = '\0';
	long_one.client = long_one.provider = long_one.cause = long_one.code = many;
	long_one.generation = INT64_MAX;
	n = refresh_output_line(&long_one, line);
	assert_true(n < sizeof(line));
	unit_same("its end", line + n - 21, "\t9223372036854775807\n");
}

static char *told(struct work *w, int is_json, size_t times)
{
	struct refresh_output o;
	enum err err;

	captured_begin(NULL);
	refresh_output_begin(&o, is_json);
	refresh_output_expect(&o, 3);
	for (size_t i = 0; i < times; i++) {
		refresh_output_each(&o, &renewed);
		refresh_output_each(&o, &retry);
		refresh_output_each(&o, &dead);
	}
	refresh_output_calm(&o);
	err = refresh_output_end(w, &o, &result);
	refresh_output_free(&o);
	assert_int_equal(err, ERR_OK);
	return captured_end(w);
}

static void a_pipe_gets_a_line_each_and_nothing_else(void **state)
{
	unit_same("lines", told(*state, 0, 1),
		"acme\tzoho_crm\trenewed\tnone\t-\t12\n"
		"globex\tzoho_crm\tretry\tprovider_outage\thttp_503\t3\n"
		"initech\tzoho_calendar\tdead\tuser_revoked\tinvalid_code\t4\n");
}

static void a_program_gets_one_document_of_those_not_renewed(void **state)
{
	const char *text = told(*state, 1, 1);

	assert_true(text[0] == '{');
	unit_lacks("renewed", text, "acme");
	unit_holds("list", text,
		",\"connections\":[{\"clientId\":\"globex\",\"provider\":\"zoho_crm\","
		"\"outcome\":\"retry\",\"cause\":\"provider_outage\",\"code\":\"http_503\","
		"\"generation\":3,\"waitSeconds\":30},{\"clientId\":\"initech\","
		"\"provider\":\"zoho_calendar\",\"outcome\":\"dead\",\"cause\":\"user_revoked\","
		"\"code\":\"invalid_code\",\"generation\":4,\"waitSeconds\":null}],"
		"\"connectionsOmitted\":0}\n");
}

static void the_document_ends_at_ten_thousand(void **state)
{
	const char *text = told(*state, 1, REFRESH_LISTED_MAX / 2 + 1), *at = text;
	size_t n = 0;

	while ((at = strstr(at, "\"clientId\""))) {
		n++;
		at++;
	}
	assert_int_equal(n, REFRESH_LISTED_MAX);
	unit_holds("omitted", text, "],\"connectionsOmitted\":2}\n");
}

static void an_empty_run_has_an_empty_list(void **state)
{
	unit_holds("list", told(*state, 1, 0), "\"connections\":[],\"connectionsOmitted\":0}\n");
	unit_same("lines", told(*state, 0, 0), "");
}

/* The run goes on when nobody can be told of it, and says so at its end. */
static void what_does_not_get_through_is_said_at_the_end(void **state)
{
	for (int is_json = 0; is_json < 2; is_json++) {
		struct refresh_output o;
		enum err err;

		captured_begin("/dev/full");
		refresh_output_begin(&o, is_json);
		refresh_output_expect(&o, 2);
		refresh_output_each(&o, &renewed);
		refresh_output_each(&o, &dead);
		assert_int_equal(o.progress.done, 2);
		err = refresh_output_end(*state, &o, &result);
		refresh_output_free(&o);
		captured_end(*state);
		assert_int_equal(err, ERR_IO);
		unit_holds("said", ((struct work *)*state)->detail, "standard output");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST(a_line_has_six_words),
		UNIT_TEST(a_line_is_never_too_long),
		UNIT_TEST(a_pipe_gets_a_line_each_and_nothing_else),
		UNIT_TEST(a_program_gets_one_document_of_those_not_renewed),
		UNIT_TEST(the_document_ends_at_ten_thousand),
		UNIT_TEST(an_empty_run_has_an_empty_list),
		UNIT_TEST(what_does_not_get_through_is_said_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
