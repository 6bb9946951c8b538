/* Verdicts, read from the table tests/golden/verdicts.eval. */
#include "fixture.h"

#include "base/text.h"
#include "oauth/answer.h"
#include "oauth/outcome.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 6

struct row {
	char *columns[COLUMNS]; /* provider, at, grant, status, content type, body */
	char *verdict, *code;
};

static char *trim(char *text)
{
	size_t n;

	text += strspn(text, " \t");
	n = strlen(text);
	while (n && strchr(" \t\n", text[n - 1]))
		text[--n] = '\0';
	return text;
}

/* "a | b | c | d | e | body -> verdict code"; the body may hold anything but "->". */
static int read_row(char *line, struct row *row)
{
	char *arrow = strstr(line, "->"), *result;

	if (!arrow)
		return 0;
	*arrow = '\0';
	for (size_t i = 0; i < COLUMNS; i++) {
		char *bar = i + 1 < COLUMNS ? strchr(line, '|') : NULL;

		if (!bar && i + 1 < COLUMNS)
			return 0;
		if (bar)
			*bar = '\0';
		row->columns[i] = trim(line);
		line = bar ? bar + 1 : line;
	}
	result = trim(arrow + 2);
	row->verdict = result;
	row->code = result + strcspn(result, " ");
	if (*row->code)
		*row->code++ = '\0';
	return 1;
}

static int place(const char *word, const char *const *words)
{
	for (int i = 0; words[i]; i++)
		if (text_equal(word, words[i]))
			return i;
	fail_msg("unknown word %s", word);
	return -1;
}

/* "200", "503+120" with Retry-After, "!dropped" for what never became an answer. */
static void read_status(const char *text, struct oauth_http_answer *answer)
{
	static const char *const causes[] = {
		"!dns", "!tls", "!dropped", "!deadline", "!too_large", "!certificate", NULL};
	static const enum oauth_transport transports[] = {OAUTH_TRANSPORT_NOT_SENT,
		OAUTH_TRANSPORT_NOT_SENT, OAUTH_TRANSPORT_AMBIGUOUS, OAUTH_TRANSPORT_AMBIGUOUS,
		OAUTH_TRANSPORT_AMBIGUOUS, OAUTH_TRANSPORT_CERTIFICATE};
	const char *plus = strchr(text, '+');

	if (text[0] == '!') {
		answer->transport = transports[place(text, causes)];
		answer->cause = text + 1;
		return;
	}
	answer->status = atoi(text);
	answer->retry_after_s = plus ? (unsigned)atoi(plus + 1) : 0;
}

static int is_row_true(struct fixture *f, const struct row *row, char seen[128])
{
	static const char *const places[] = {"token", "probe", "revoke", "introspect", NULL};
	static const char *const grants[] = {"-", "code", "refresh", NULL};
	const char *body = text_equal(row->columns[5], "-") ? "" : row->columns[5];
	struct oauth_http_answer answer = fixture_answer(f, 0, row->columns[4], body, strlen(body));
	struct oauth_question question = {
		fixture_provider(f, row->columns[0]),
		(enum oauth_at)place(row->columns[1], places),
		(enum oauth_grant)place(row->columns[2], grants),
	};
	struct oauth_outcome outcome;

	read_status(row->columns[3], &answer);
	oauth_outcome_judge(&question, &answer, oauth_answer_parse(&f->w, &answer), &outcome);
	snprintf(seen, 128, "%s%s%s%s", oauth_verdict_name(outcome.verdict),
		outcome.maybe_done ? "?" : "", *outcome.code ? " " : "", outcome.code);
	if (outcome.verdict == OAUTH_RATE)
		assert_int_equal(outcome.retry_after_s, answer.retry_after_s);
	return text_equal(seen,
		*row->code ? work_printf(&f->w, "%s %s", row->verdict, row->code) : row->verdict);
}

static void test_every_row_of_the_table_holds(void **state)
{
	struct fixture *f = *state;
	FILE *table = fopen(fixture_path(f, "tests/golden/verdicts.eval"), "r");
	int rows = 0, wrong = 0, number = 0;
	char line[4096], seen[128];

	assert_non_null(table);
	while (fgets(line, sizeof(line), table)) {
		struct row row = {0};

		number++;
		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (!read_row(line, &row))
			fail_msg("verdicts.eval:%d cannot be read", number);
		rows++;
		if (is_row_true(f, &row, seen))
			continue;
		print_error("verdicts.eval:%d expects \"%s %s\", sees \"%s\"\n", number,
			row.verdict, row.code, seen);
		wrong++;
	}
	fclose(table);
	assert_int_equal(wrong, 0);
	assert_in_range(rows, 100, 1000);
}

static void judge(struct fixture *f, const char *provider, const char *body, size_t n,
	struct oauth_outcome *outcome)
{
	struct oauth_question question = {
		fixture_provider(f, provider), OAUTH_AT_TOKEN, OAUTH_GRANT_REFRESH};
	struct oauth_http_answer answer = fixture_answer(f, 200, "application/json", body, n);

	oauth_outcome_judge(&question, &answer, oauth_answer_parse(&f->w, &answer), outcome);
}

static void test_provider_text_never_becomes_a_code(void **state)
{
	static const char *const texts[] = {"{\"error\":\"1000.abcdef0123456789.fedcba\"}",
		"{\"error\":\"<script>\"}", "{\"error\":\"a\\nb\"}", "{\"error\":\"\xc3\xa9\"}",
		"{\"error\":"
		"\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}"};
	struct oauth_outcome outcome;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		judge(*state, "rfc", texts[i], strlen(texts[i]), &outcome);
		assert_int_equal(outcome.verdict, OAUTH_RETRY);
		assert_string_equal(outcome.code, "unknown_error");
	}
}

static void test_hostile_bodies_are_never_ok_nor_dead(void **state)
{
	struct fixture *f = *state;
	size_t n = (size_t)200 * 1024;
	char *deep = work_alloc(&f->w, n + 1);
	struct oauth_outcome outcome;
	static const struct {
		const char *body;
		size_t n;
	} bodies[] = {
#define BODY(text) {text, sizeof(text) - 1}
		BODY("{\"access_token\":\"a\",\"access_token\":\"b\"}"),
		BODY("{\"access_token\":\"a\\u0000b\"}"),
		BODY("{\"access_token\":\"a\",\"x\":\"\xff\xfe\"}"),
		BODY("{\"access_token\":\"a\"} trailing"),
		BODY("{\"access_token\":\"a\"\0}"),
		BODY("[{\"access_token\":\"a\"}]"),
		BODY("{\"access_token\":{\"a\":1}}"),
		BODY("{\"access_token\":[\"a\"]}"),
		BODY("{\"access_token\":true}"),
		BODY("{\"access_token\":\"\"}"),
		BODY("{\"access_token\":null}"),
		BODY("{\"access_token\":\"a b\\u0007\"}"),
		BODY("{\"access_token\":\"a\",\"refresh_token\":7}"),
		BODY("{\"access_token\":\"a\",\"token_type\":\"mac\"}"),
		BODY("{\"access_token\":\"a\",\"ok\":false}"),
		BODY("{\"access_token\":\"a\",\"error\":\"odd\"}"),
		BODY("\"access_token\""),
		BODY("null"),
		BODY("{"),
#undef BODY
	};

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		judge(f, "rfc", bodies[i].body, bodies[i].n, &outcome);
		assert_int_equal(outcome.verdict, OAUTH_RETRY);
		assert_true(outcome.maybe_done);
		assert_true(*outcome.code);
	}
	memset(deep, '[', n);
	judge(f, "rfc", deep, n, &outcome);
	assert_string_equal(outcome.code, "no_json");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_every_row_of_the_table_holds, fixture_begin, fixture_end),
		cmocka_unit_test_setup_teardown(
			test_provider_text_never_becomes_a_code, fixture_begin, fixture_end),
		cmocka_unit_test_setup_teardown(
			test_hostile_bodies_are_never_ok_nor_dead, fixture_begin, fixture_end),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
