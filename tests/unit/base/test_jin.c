/* Reading JSON from outside: strict, not deep, no member twice. */
#include "../support/unit.h"

#include "base/jin.h"

#include <string.h>

static json_t *parse(struct work *w, const char *text)
{
	return jin_parse(w, text, strlen(text));
}

static void good_texts_are_read(void **state)
{
	static const char *const good[] = {"{}", "[]", "\"a\"", "null", "-1.5e3", " { \"a\" : 1 } ",
		"{\"a\":{\"x\":1},\"b\":{\"x\":1}}", "\"[[[[[[[[[[[[[[[[[[[[\"",
		"[\"\\\"[[[[[[[[[[[[[[[[[[[\"]", "[\"\\\\\"]", "\"\\ud83d\\udd11\""};

	for (size_t i = 0; i < UNIT_COUNT(good); i++)
		if (!parse(*state, good[i]))
			fail_msg("%s is not read", good[i]);
}

static void bad_texts_are_not(void **state)
{
	static const char *const bad[] = {"", " ", "{", "{} {}", "[1,]", "{\"a\":1,}", "{a:1}",
		"{'a':1}", "01", "+1", "NaN", "Infinity", "\"\n\"", "\"\\x41\"", "\"\xff\"",
		"\"\xc0\xaf\"", "\"\\ud83d\"", "\"a\\u0000b\"", "{\"a\\u0000\":1}", "nul", "[1] x",
		"//\n1", "{\"a\":1,\"a\":1}", "[{\"a\":{\"b\":1,\"b\":2}}]",
		"{\"a\":1,\"\\u0061\":2}", "99999999999999999999999", "1e999"};

	for (size_t i = 0; i < UNIT_COUNT(bad); i++)
		if (parse(*state, bad[i]))
			fail_msg("%s is read", bad[i]);
	assert_null(jin_parse(*state, "\"a\0b\"", 5));
	assert_null(jin_parse(*state, "{}\0", 3));
}

static const char *nested(struct work *w, int depth, const char *open, const char *close)
{
	char *text = work_strdup(w, "1");

	for (int i = 0; i < depth; i++)
		text = work_printf(w, "%s%s%s", open, text, close);
	return text;
}

static void sixteen_is_deep_enough(void **state)
{
	assert_non_null(parse(*state, nested(*state, 16, "[", "]")));
	assert_null(parse(*state, nested(*state, 17, "[", "]")));
	assert_non_null(parse(*state, nested(*state, 16, "{\"a\":", "}")));
	assert_null(parse(*state, nested(*state, 17, "{\"a\":", "}")));
	/* strings that end later than they seem hide no bracket */
	assert_null(parse(*state, nested(*state, 17, "[\"\\\\\",", "]")));
}

static void a_hundred_thousand_brackets_cost_nothing(void **state)
{
	static char text[100000];

	memset(text, '[', sizeof(text));
	assert_null(jin_parse(*state, text, sizeof(text)));
}

static void objects_tell_which_member_is_repeated(void **state)
{
	static const struct {
		const char *text, *repeated;
	} cases[] = {
		{"{\"a\":1,\"provider\":2,\"provider\":3}", "provider"},
		{"{\"a\":{\"b\":1,\"b\":1}}", "b"},
		{"{\"a\":1,\"a\":1", "a"},
		{"{\"a_name_that_is_longer_than_twenty\":1,\"a_name_that_is_longer_than_twenty\":"
		 "1}",
			"body"},
		{"{\"a\":1", NULL},
		{"[1]", NULL},
		{"\"a\"", NULL},
	};
	const char *repeated = "unset";

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		assert_null(
			jin_parse_object(*state, cases[i].text, strlen(cases[i].text), &repeated));
		unit_same(cases[i].text, repeated, cases[i].repeated);
	}
	assert_non_null(jin_parse_object(*state, "{\"a\":1}", 7, &repeated));
	assert_null(repeated);
}

static int setup(void **state)
{
	(void)state;
	jin_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST(good_texts_are_read),
		UNIT_TEST(bad_texts_are_not),
		UNIT_TEST(sixteen_is_deep_enough),
		UNIT_TEST(a_hundred_thousand_brackets_cost_nothing),
		UNIT_TEST(objects_tell_which_member_is_repeated),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
