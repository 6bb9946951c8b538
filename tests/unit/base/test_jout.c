/* The JSON writer: whatever is put in, a strict reader gets the same out. */
#include "../support/unit.h"

#include "base/jin.h"
#include "base/jout.h"

#include <inttypes.h>
#include <string.h>

static const char *one_text(struct work *w, const char *value)
{
	static struct buf buf;
	struct jout j;

	buf_init(&buf, w, 4096);
	jout_init(&j, &buf);
	jout_text(&j, NULL, value);
	return buf.data;
}

static void commas_stand_where_they_belong(void **state)
{
	struct buf buf;
	struct jout j;

	buf_init(&buf, *state, 4096);
	jout_init(&j, &buf);
	jout_object(&j, NULL);
	jout_object(&j, "empty");
	jout_end_object(&j);
	jout_array(&j, "none");
	jout_end_array(&j);
	jout_array(&j, "list");
	jout_text(&j, NULL, "a");
	jout_int(&j, NULL, -7);
	jout_object(&j, NULL);
	jout_bool(&j, "yes", 2);
	jout_bool(&j, "no", 0);
	jout_end_object(&j);
	jout_array(&j, NULL);
	jout_end_array(&j);
	jout_null(&j, NULL);
	jout_end_array(&j);
	jout_text(&j, "gone", NULL);
	jout_raw(&j, "raw", "12");
	jout_raw(&j, "raw_null", NULL);
	jout_end_object(&j);
	assert_string_equal(buf.data,
		"{\"empty\":{},\"none\":[],\"list\":[\"a\",-7,{\"yes\":true,\"no\":false},[],null],"
		"\"gone\":null,\"raw\":12,\"raw_null\":null}");
}

static void numbers_are_whole(void **state)
{
	struct buf buf;
	struct jout j;

	buf_init(&buf, *state, 4096);
	jout_init(&j, &buf);
	jout_array(&j, NULL);
	jout_int(&j, NULL, INT64_MIN);
	jout_int(&j, NULL, INT64_MAX);
	jout_end_array(&j);
	assert_string_equal(buf.data, "[-9223372036854775808,9223372036854775807]");
}

static void texts_are_escaped(void **state)
{
	static const struct {
		const char *value, *json;
	} cases[] = {
		{"", "\"\""}, {"a\"b\\c/d", "\"a\\\"b\\\\c/d\""},
		{"\"},{\"admin\":true,\"x\":\"", "\"\\\"},{\\\"admin\\\":true,\\\"x\\\":\\\"\""},
		{"\n\r\t\b\x01\x1f", "\"\\u000a\\u000d\\u0009\\u0008\\u0001\\u001f\""},
		{"\x7f", "\"\\u007f\""},
		{"Z\xc3\xbcrich \xe2\x82\xac \xf0\x9f\x94\x91", /* 2, 3 and 4 bytes */
			"\"Z\xc3\xbcrich \xe2\x82\xac \xf0\x9f\x94\x91\""},
		{"\xff", "\"\\ufffd\""}, {"a\x80z", "\"a\\ufffdz\""},     /* a tail alone */
		{"\xc0\xaf", "\"\\ufffd\\ufffd\""},                       /* overlong "/" */
		{"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},            /* a surrogate */
		{"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""}, /* beyond U+10FFFF */
		{"cut \xe2\x82", "\"cut \\ufffd\\ufffd\""}, /* ends within a character */
		{"cut \xf0", "\"cut \\ufffd\""},
		{"\xc3\"", "\"\\ufffd\\\"\""}, /* a quote is never taken for a tail */
	};

	for (size_t i = 0; i < UNIT_COUNT(cases); i++)
		unit_same(cases[i].json, one_text(*state, cases[i].value), cases[i].json);
}

static void every_byte_is_read_back(void **state)
{
	for (int c = 1; c < 256; c++) {
		const char value[] = {'<', (char)c, '>', '\0'};
		const char *json = one_text(*state, value);
		const char *back = json_string_value(jin_parse(*state, json, strlen(json)));

		assert_non_null(back);
		unit_same(json, back, c < 0x80 ? value : "<\xef\xbf\xbd>");
	}
}

static void keys_are_escaped_too(void **state)
{
	struct buf buf;
	struct jout j;

	buf_init(&buf, *state, 4096);
	jout_init(&j, &buf);
	jout_object(&j, NULL);
	jout_int(&j, "a\":1,\"b\n", 2);
	jout_end_object(&j);
	assert_string_equal(buf.data, "{\"a\\\":1,\\\"b\\u000a\":2}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST(commas_stand_where_they_belong),
		UNIT_TEST(numbers_are_whole),
		UNIT_TEST(texts_are_escaped),
		UNIT_TEST(every_byte_is_read_back),
		UNIT_TEST(keys_are_escaped_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
