/* The progress line: whole where there is room, short where there is none, and never too long. */
#include "../support/unit.h"

#include "refresh/progress.h"

#include <string.h>
#include <unistd.h>

static const struct refresh_progress quarter = {
	.fd = -1, .total = 480, .done = 120, .failed = 2, .began_ms = 1000};

static void what_does_not_fit_is_left_out_by_need(void **state)
{
	static const struct {
		size_t columns;
		const char *line;
	} cases[] = {
		{200, "[##########------------------------------] 120/480  12.0/s  0:30 left  2 "
		      "failed"},
		{80, "[##########------------------------------] 120/480  12.0/s  0:30 left  2 "
		     "failed"},
		{79, "[#########------------------------------] 120/480  12.0/s  0:30 left  2 "
		     "failed"},
		{50, "[##--------] 120/480  12.0/s  0:30 left  2 failed"},
		{49, "120/480  12.0/s  0:30 left  2 failed"},
		{37, "120/480  12.0/s  0:30 left  2 failed"},
		{36, "120/480  0:30 left  2 failed"},
		{29, "120/480  0:30 left  2 failed"},
		{28, "120/480  2 failed"},
		{18, "120/480  2 failed"},
		{17, "120/480"},
		{8, "120/480"},
		{7, ""},
		{1, ""},
		{0, ""},
	};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		char line[REFRESH_LINE_BYTES];
		size_t n = refresh_progress_line(&quarter, 11000, cases[i].columns, line);

		unit_same("line", line, cases[i].line);
		assert_int_equal(n, strlen(line));
	}
}

static void no_width_makes_it_too_long(void **state)
{
	const struct refresh_progress huge = {
		.fd = -1, .total = 9000000000, .done = 8999999999, .failed = 8999999999};
	char line[REFRESH_LINE_BYTES];

	(void)state;
	for (size_t columns = 0; columns < 2000; columns++) {
		size_t n = refresh_progress_line(&huge, 50000, columns, line);

		assert_true(n < columns || n == 0);
		assert_true(n < sizeof(line) && line[n] == '\0');
	}
}

static void times_and_rates_are_as_people_write_them(void **state)
{
	static const struct {
		int64_t done, total, ms;
		const char *said;
	} cases[] = {
		{1, 3, 2000, "  0.5/s  0:04 left"},
		{10, 3610, 10000, "  1.0/s  1:00:00 left"},
		{10, 3609, 10000, "  1.0/s  59:59 left"},
		{1000, 1000, 4000, "  250/s  0:00 left"},
		{99, 198, 1000, "  99.0/s  0:01 left"},
	};
	char line[REFRESH_LINE_BYTES];

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		const struct refresh_progress p = {
			.fd = -1, .total = cases[i].total, .done = cases[i].done};

		refresh_progress_line(&p, cases[i].ms, 120, line);
		unit_holds("line", line, cases[i].said);
	}
}

static void a_rate_waits_for_its_first_second(void **state)
{
	const struct refresh_progress p = {.fd = -1, .total = 10, .done = 5};
	char line[REFRESH_LINE_BYTES];

	(void)state;
	refresh_progress_line(&p, 999, 60, line);
	unit_same("line", line, "[####################--------------------] 5/10");
}

static void the_bar_is_empty_and_full_where_it_should(void **state)
{
	struct refresh_progress p = {.fd = -1, .total = 4};
	char line[REFRESH_LINE_BYTES];

	(void)state;
	refresh_progress_line(&p, 1, 17, line);
	unit_same("empty", line, "[----------] 0/4");
	p.done = 4;
	refresh_progress_line(&p, 1, 17, line);
	unit_same("full", line, "[##########] 4/4");
	p = (struct refresh_progress){.fd = -1};
	refresh_progress_line(&p, 1, 17, line);
	unit_same("nothing to do", line, "[##########] 0/0");
}

/* More than were known at the start become due while it runs. */
static void the_total_grows(void **state)
{
	struct refresh_progress p;

	(void)state;
	refresh_progress_begin(&p, -1, 1);
	refresh_progress_step(&p, 0);
	refresh_progress_step(&p, 1);
	assert_int_equal(p.done, 2);
	assert_int_equal(p.total, 2);
	assert_int_equal(p.failed, 1);
}

static void nothing_is_drawn_where_there_is_no_terminal(void **state)
{
	struct refresh_progress p;
	int ends[2];
	char byte;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	refresh_progress_begin(&p, ends[1], 5);
	refresh_progress_step(&p, 0);
	refresh_progress_end(&p);
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(ends[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST(what_does_not_fit_is_left_out_by_need),
		UNIT_TEST(no_width_makes_it_too_long),
		UNIT_TEST(times_and_rates_are_as_people_write_them),
		UNIT_TEST(a_rate_waits_for_its_first_second),
		UNIT_TEST(the_bar_is_empty_and_full_where_it_should),
		UNIT_TEST(the_total_grows),
		UNIT_TEST(nothing_is_drawn_where_there_is_no_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
