/* Words about text: names, numbers, encodings. */
#include "../support/unit.h"

#include "base/text.h"

#include <inttypes.h>
#include <string.h>

#define LONGEST "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" /* 64 */

static void null_equals_nothing(void **state)
{
	(void)state;
	assert_true(text_equal("a", "a"));
	assert_false(text_equal("a", "b"));
	assert_false(text_equal(NULL, "a"));
	assert_false(text_equal("a", NULL));
	assert_false(text_equal(NULL, NULL));
	assert_true(text_starts("abc", "ab"));
	assert_true(text_starts("abc", ""));
	assert_false(text_starts("a", "ab"));
}

static void client_ids(void **state)
{
	static const char *const good[] = {"a", "0", "Z9", "acme", "a.b-c_d", "a..", LONGEST};
	static const char *const bad[] = {"", ".a", "-a", "_a", "a/b", "a b", "a\n", "a%20", "..",
		"\xc3\xbc", "a\x7f", "a+b", "a:b", LONGEST "a"};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(good); i++)
		if (!text_is_client_id(good[i]))
			fail_msg("%s is refused", good[i]);
	for (size_t i = 0; i < UNIT_COUNT(bad); i++)
		if (text_is_client_id(bad[i]))
			fail_msg("%s is taken", bad[i]);
}

static void names(void **state)
{
	static const char *const good[] = {"a", "_", "zoho_crm", "0", LONGEST};
	static const char *const bad[] = {
		"", "Zoho", "a-b", "a.b", "a b", "a/b", "a\n", "\xc3\xbc", LONGEST "a"};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(good); i++)
		if (!text_is_name(good[i]))
			fail_msg("%s is refused", good[i]);
	for (size_t i = 0; i < UNIT_COUNT(bad); i++)
		if (text_is_name(bad[i]))
			fail_msg("%s is taken", bad[i]);
}

static void control_characters(void **state)
{
	static const char *const clean[] = {"", "a b", "Z\xc3\xbcrich", "\xc2\xa0",
		"\xf0\x9f\x94\x91", "\xf4\x8f\xbf\xbf", "\xee\x80\x80", "~"};
	static const char *const dirty[] = {"\n", "a\r", "\t", "\x01", "\x1f", "a\x7f", "\xc2\x80",
		"\xc2\x9f", /* C1 */
		"\xff", "\x80", "\xc3", "\xc3z", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80",
		"\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82",
		"\xf0\x9f\x94"};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(clean); i++)
		if (text_has_control(clean[i]))
			fail_msg("clean text %zu is refused", i);
	for (size_t i = 0; i < UNIT_COUNT(dirty); i++)
		if (!text_has_control(dirty[i]))
			fail_msg("dirty text %zu is taken", i);
}

static void whole_numbers(void **state)
{
	static const struct {
		const char *text;
		int64_t least, most;
		int good;
		int64_t value;
	} cases[] = {
		{"0", 0, 0, 1, 0}, {"10", 0, 10, 1, 10}, {"11", 0, 10, 0, 0}, {"-5", -5, 5, 1, -5},
		{"-6", -5, 5, 0, 0}, {"9223372036854775807", 0, INT64_MAX, 1, INT64_MAX},
		{"9223372036854775808", 0, INT64_MAX, 0, 0},
		{"-9223372036854775808", INT64_MIN, 0, 1, INT64_MIN},
		{"-9223372036854775809", INT64_MIN, 0, 0, 0},
		{"18446744073709551617", 0, INT64_MAX, 0, 0}, {"", 0, 10, 0, 0},
		{"-", -10, 10, 0, 0}, {"-0", 0, 10, 0, 0}, {"+1", 0, 10, 0, 0}, {" 1", 0, 10, 0, 0},
		{"1 ", 0, 10, 0, 0}, {"1.0", 0, 10, 0, 0}, {"1e1", 0, 10, 0, 0},
		{"0x1", 0, 10, 0, 0}, {"1\n", 0, 10, 0, 0}, {"--1", -10, 10, 0, 0},
		{"\xd9\xa1", 0, 10, 0, 0}, /* ARABIC-INDIC DIGIT ONE */
	};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		int64_t value = 77;
		int good = text_to_int(cases[i].text, cases[i].least, cases[i].most, &value);

		if (good != cases[i].good || value != (good ? cases[i].value : 77))
			fail_msg("\"%s\": %d, %" PRId64, cases[i].text, good, value);
	}
}

static void percent_encoding_leaves_the_unreserved_only(void **state)
{
	static const char kept[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	struct buf buf;

	buf_init(&buf, *state, 4096);
	text_percent_encode(&buf, kept);
	assert_string_equal(buf.data, kept);
	for (int c = 1; c < 256; c++) {
		const char text[] = {(char)c, '\0'};
		char *wanted = work_printf(*state, "%%%02X", (unsigned)c);

		buf_clear(&buf);
		text_percent_encode(&buf, text);
		unit_same(wanted, buf.data, strchr(kept, c) ? text : wanted);
		unit_same(wanted, text_form_decode(*state, buf.data, buf.len), text);
	}
}

static void form_decoding(void **state)
{
	static const struct {
		const char *text, *decoded;
	} cases[] = {
		{"", ""},
		{"a+b", "a b"},
		{"a%2Bb%2bc", "a+b+c"},
		{"%25%2541", "%%41"}, /* once, not twice */
		{"%C3%BC", "\xc3\xbc"},
		{"%", NULL},
		{"%4", NULL},
		{"a%4", NULL},
		{"%4g", NULL},
		{"%g4", NULL},
		{"%%41", NULL},
		{"% 1", NULL},
		{"%+1", NULL},
		{"%00", NULL},
		{"a%00b", NULL},
	};

	for (size_t i = 0; i < UNIT_COUNT(cases); i++)
		unit_same(cases[i].text,
			text_form_decode(*state, cases[i].text, strlen(cases[i].text)),
			cases[i].decoded);
	/* an escape must not reach beyond the part it stands in */
	assert_null(text_form_decode(*state, "a%41", 3));
	assert_string_equal(text_form_decode(*state, "a%41", 4), "aA");
}

static void hex_goes_there_and_back(void **state)
{
	static const char *const bad[] = {"0", "0g", "g0", " 0", "0x", "000", "0-"};
	unsigned char all[256];
	size_t n = 77;
	char *hex;

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (unsigned char)i;
	hex = text_hex(*state, all, sizeof(all));
	assert_int_equal(strlen(hex), 512);
	assert_memory_equal(hex, "000102030405060708090a0b0c0d0e0f10", 34);
	assert_memory_equal(text_unhex(*state, hex, &n), all, sizeof(all));
	assert_int_equal(n, sizeof(all));
	assert_memory_equal(text_unhex(*state, "aBfF", &n), "\xab\xff", 2);
	assert_int_equal(n, 2);
	assert_non_null(text_unhex(*state, "", &n));
	assert_int_equal(n, 0);
	for (size_t i = 0; i < UNIT_COUNT(bad); i++)
		if (text_unhex(*state, bad[i], &n))
			fail_msg("\"%s\" is taken", bad[i]);
}

/* Source: RFC 4648 section 10. */
static void base64_vectors(void **state)
{
	static const struct {
		const char *plain, *base64, *base64url;
	} cases[] = {
		{"", "", ""},
		{"f", "Zg==", "Zg"},
		{"fo", "Zm8=", "Zm8"},
		{"foo", "Zm9v", "Zm9v"},
		{"foob", "Zm9vYg==", "Zm9vYg"},
		{"fooba", "Zm9vYmE=", "Zm9vYmE"},
		{"foobar", "Zm9vYmFy", "Zm9vYmFy"},
		{"\xfb\xff\xbf", "+/+/", "-_-_"},
		{"\xff\xff", "//8=", "__8"},
	};

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		const unsigned char *bytes = (const unsigned char *)cases[i].plain;
		size_t n = strlen(cases[i].plain);

		unit_same(cases[i].plain, text_base64(*state, bytes, n), cases[i].base64);
		unit_same(cases[i].plain, text_base64url(*state, bytes, n), cases[i].base64url);
	}
}

static void base64_goes_back(void **state)
{
	static const char *const wrong[] = {
		"Zg", "Zg=", "Zg==Zg==", "Z===", "====", "Zh==", "Zm9=", "Zm9v\n", "-_-_", "Zm 9"};
	const unsigned char bytes[] = {0xfb, 0xff, 0xbf, 0, 1, 2, 3};

	for (size_t n = 0; n <= sizeof(bytes); n++) {
		const char *text = text_base64(*state, bytes, n);
		size_t got = 99;
		const unsigned char *back = text_unbase64(*state, text, strlen(text), &got);

		assert_non_null(back);
		assert_int_equal(got, n);
		assert_memory_equal(back, bytes, n);
	}
	for (size_t i = 0; i < UNIT_COUNT(wrong); i++) {
		size_t got;

		if (text_unbase64(*state, wrong[i], strlen(wrong[i]), &got))
			fail_msg("%s is taken", wrong[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST(null_equals_nothing),
		UNIT_TEST(client_ids),
		UNIT_TEST(names),
		UNIT_TEST(control_characters),
		UNIT_TEST(whole_numbers),
		UNIT_TEST(percent_encoding_leaves_the_unreserved_only),
		UNIT_TEST(form_decoding),
		UNIT_TEST(hex_goes_there_and_back),
		UNIT_TEST(base64_vectors),
		UNIT_TEST(base64_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
