/* The clocks, and time as text. */
#include "../support/unit.h"

#include "base/clock.h"

#include <time.h>

static void times_are_written_as_rfc3339(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = {
		{0, "1970-01-01T00:00:00.000Z"},
		{1, "1970-01-01T00:00:00.001Z"},
		{951868799999, "2000-02-29T23:59:59.999Z"},
		{1769860800000, "2026-01-31T12:00:00.000Z"},
		{2147483648050, "2038-01-19T03:14:08.050Z"},
		{253402300799999, "9999-12-31T23:59:59.999Z"},
	};
	char text[CLOCK_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(cases); i++)
		unit_same(cases[i].text, clock_text(cases[i].ms, text), cases[i].text);
}

static void they_are_read_back(void **state)
{
	static const char *const wrong[] = {"", "now", "2026-01-31", "2026-01-31T12:00:00",
		"2026-01-31T12:00:00+01:00", "2026-01-31T12:00:00.000Zx", "2026-13-31T12:00:00Z"};
	static const int64_t times[] = {0, 1, 951868799999, 2147483648050};
	char text[CLOCK_TEXT_BYTES];
	int64_t ms = 7;

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(times); i++) {
		assert_true(clock_read(clock_text(times[i], text), &ms));
		assert_true(ms == times[i]);
	}
	assert_true(clock_read("1970-01-01T00:00:02Z", &ms) && ms == 2000);
	for (size_t i = 0; i < UNIT_COUNT(wrong); i++)
		assert_false(clock_read(wrong[i], &ms));
}

static void the_clocks_run(void **state)
{
	int64_t monotonic = clock_monotonic_ms(), wall = clock_wall_ms();
	time_t now = time(NULL);

	(void)state;
	assert_in_range(wall, ((uintmax_t)now - 2) * 1000, ((uintmax_t)now + 2) * 1000);
	while (clock_monotonic_ms() == monotonic)
		;
	assert_in_range(clock_monotonic_ms() - monotonic, 1, 60000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_written_as_rfc3339),
		cmocka_unit_test(they_are_read_back),
		cmocka_unit_test(the_clocks_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
