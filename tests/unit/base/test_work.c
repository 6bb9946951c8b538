/* The unit of work: what it owns ends with it, newest first, and it keeps the first thing that went
 * wrong. */
#include "../support/unit.h"

#include "base/work.h"

#include <string.h>

static char order[16];

static void release(void *handle)
{
	strncat(order, handle, 1);
}

static void releases_the_newest_first_and_once(void **state)
{
	struct work w;
	static char a[] = "a", b[] = "b", c[] = "c";

	(void)state;
	order[0] = '\0';
	work_begin(&w, 1000);
	work_defer(&w, release, a);
	work_defer(&w, release, b);
	work_defer(&w, release, c);
	assert_string_equal(order, "");
	work_end(&w);
	work_end(&w);
	assert_string_equal(order, "cba");
}

static void the_first_detail_and_cause_stay(void **state)
{
	struct work *w = *state;

	assert_int_equal(work_fail(w, ERR_IO, "first %d", 1), ERR_IO);
	assert_int_equal(work_fail(w, ERR_BUG, "second"), ERR_BUG);
	assert_string_equal(w->detail, "first 1");
	assert_int_equal(work_cause(w, ERR_DB, "code %s", "x"), ERR_DB);
	assert_int_equal(work_cause(w, ERR_IO, "other"), ERR_IO);
	assert_string_equal(w->cause, "code x");
}

static void a_part_hands_on_why_it_failed(void **state)
{
	struct work *w = *state, part;

	work_begin(&part, 1000);
	work_cause(&part, ERR_IO, "why");
	part.retry_after_s = 5;
	assert_int_equal(work_cause_of(w, ERR_OK, &part), ERR_OK);
	assert_null(w->cause);
	assert_int_equal(work_cause_of(w, ERR_IO, &part), ERR_IO);
	work_end(&part);
	assert_string_equal(w->cause, "why");
	assert_int_equal(w->retry_after_s, 5);
	work_forgive(w);
	work_begin(&part, 1000);
	assert_int_equal(work_cause_of(w, ERR_DB, &part), ERR_DB);
	work_end(&part);
	assert_string_equal(w->cause, "");
}

static void forgiving_forgets_all_of_it(void **state)
{
	struct work *w = *state;

	assert_int_equal(work_fail(w, ERR_IO, "x"), ERR_IO);
	assert_int_equal(work_cause(w, ERR_IO, "x"), ERR_IO);
	assert_int_equal(work_fail_field(w, "a", "x"), ERR_INPUT);
	w->retry_after_s = 5;
	work_forgive(w);
	assert_null(w->detail);
	assert_null(w->cause);
	assert_int_equal(w->fault_count, 0);
	assert_int_equal(w->retry_after_s, 0);
	assert_int_equal(work_fail(w, ERR_IO, "y"), ERR_IO);
	assert_string_equal(w->detail, "y");
}

static void field_faults_are_kept_up_to_their_ceiling(void **state)
{
	struct work *w = *state;
	char name[] = "a";

	assert_int_equal(work_fail_field(w, name, "is %s", "bad"), ERR_INPUT);
	name[0] = 'x'; /* the name is copied */
	assert_string_equal(w->faults[0].field, "a");
	assert_string_equal(w->faults[0].reason, "is bad");
	for (int i = 0; i < 3 * WORK_FIELD_FAULTS_MAX; i++)
		assert_int_equal(work_fail_field(w, "b", "x"), ERR_INPUT);
	assert_int_equal(w->fault_count, WORK_FIELD_FAULTS_MAX);
}

static void time_left_never_falls_below_nothing(void **state)
{
	struct work w;

	(void)state;
	work_begin(&w, 60000);
	assert_in_range(work_left_ms(&w), 1, 60000);
	w.deadline_ms -= 120000;
	assert_int_equal(work_left_ms(&w), 0);
	work_end(&w);
}

static void begins_with_an_empty_request_id_and_nothing_else(void **state)
{
	struct work w;

	(void)state;
	memset(&w, 0x5a, sizeof(w));
	work_begin(&w, 1);
	assert_string_equal(w.origin.request_id, "");
	assert_null(w.origin.actor);
	assert_null(w.detail);
	assert_int_equal(w.fault_count, 0);
	work_end(&w);
	assert_null(w.origin.request_id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(releases_the_newest_first_and_once),
		UNIT_TEST(the_first_detail_and_cause_stay),
		UNIT_TEST(a_part_hands_on_why_it_failed),
		UNIT_TEST(forgiving_forgets_all_of_it),
		UNIT_TEST(field_faults_are_kept_up_to_their_ceiling),
		cmocka_unit_test(time_left_never_falls_below_nothing),
		cmocka_unit_test(begins_with_an_empty_request_id_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
