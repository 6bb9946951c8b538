/* The bounded buffer: it grows to its ceiling, and drops whole what would pass it. */
#include "../support/unit.h"

#include "base/buf.h"

#include <string.h>

static void grows_and_keeps_what_it_has(void **state)
{
	struct buf buf;

	buf_init(&buf, *state, 100000);
	for (int i = 0; i < 10000; i++)
		buf_printf(&buf, "%04d", i);
	assert_false(buf.overflow);
	assert_int_equal(buf.len, 40000);
	assert_int_equal(strlen(buf.data), 40000);
	assert_memory_equal(buf.data, "000000010002", 12);
	assert_string_equal(buf.data + 40000 - 8, "99989999");
}

static void takes_its_ceiling_and_not_a_byte_more(void **state)
{
	static const size_t ceilings[] = {1, 255, 256, 257, 1000, 5000};
	char block[5001];

	memset(block, 'x', sizeof(block));
	for (size_t i = 0; i < UNIT_COUNT(ceilings); i++) {
		struct buf buf;

		buf_init(&buf, *state, ceilings[i]);
		buf_add(&buf, block, ceilings[i]);
		assert_false(buf.overflow);
		assert_int_equal(buf.len, ceilings[i]);
		assert_int_equal(buf.data[buf.len], '\0');
		buf_char(&buf, 'y');
		assert_true(buf.overflow);
		assert_int_equal(buf.len, ceilings[i]);
		assert_int_equal(buf.data[buf.len - 1], 'x');
	}
}

static void drops_whole_what_is_too_long_and_all_after_it(void **state)
{
	struct buf buf;

	buf_init(&buf, *state, 10);
	buf_text(&buf, "12345");
	buf_text(&buf, "123456");
	assert_true(buf.overflow);
	buf_text(&buf, "6");
	buf_char(&buf, '6');
	buf_printf(&buf, "%d", 6);
	assert_string_equal(buf.data, "12345");
	buf_clear(&buf);
	assert_false(buf.overflow);
	assert_string_equal(buf.data, "");
	buf_text(&buf, "1234567890");
	assert_false(buf.overflow);
	assert_string_equal(buf.data, "1234567890");
}

static void a_ceiling_of_nothing_takes_nothing(void **state)
{
	struct buf buf;

	buf_init(&buf, *state, 0);
	buf_add(&buf, "x", 0);
	assert_false(buf.overflow);
	buf_char(&buf, 'x');
	assert_true(buf.overflow);
	assert_string_equal(buf.data, "");
}

static void a_length_that_wraps_is_refused(void **state)
{
	struct buf buf;

	buf_init(&buf, *state, 100);
	buf_text(&buf, "12345");
	buf_add(&buf, "x", SIZE_MAX - 2);
	assert_true(buf.overflow);
	assert_string_equal(buf.data, "12345");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST(grows_and_keeps_what_it_has),
		UNIT_TEST(takes_its_ceiling_and_not_a_byte_more),
		UNIT_TEST(drops_whole_what_is_too_long_and_all_after_it),
		UNIT_TEST(a_ceiling_of_nothing_takes_nothing),
		UNIT_TEST(a_length_that_wraps_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
