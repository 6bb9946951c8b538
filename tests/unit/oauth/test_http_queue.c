/* Which request goes next, and how long nobody has to look. */
#include "fixture.h"

#include "oauth/queue.h"

#define PLACES (OAUTH_QUEUE_LOOKUPS_MAX + 3)

struct line {
	struct oauth_queue queue;
	struct oauth_place places[PLACES];
};

/* So many waiting requests of one origin, each with its deadline. */
static void form(struct line *line, int64_t deadline_ms)
{
	oauth_queue_init(&line->queue);
	for (size_t i = 0; i < PLACES; i++) {
		line->places[i] = (struct oauth_place){
			.origin = "https://a.example", .deadline_ms = deadline_ms};
		oauth_queue_add(&line->queue, &line->places[i]);
		oauth_queue_move(&line->queue, &line->places[i], OAUTH_STAGE_WAITING);
	}
}

static void look_up(struct line *line, size_t n)
{
	for (size_t i = 0; i < n; i++)
		oauth_queue_move(&line->queue, &line->places[i], OAUTH_STAGE_LOOKING_UP);
}

static void test_the_first_goes_first(void **state)
{
	struct line line;

	(void)state;
	form(&line, 1000);
	assert_ptr_equal(oauth_queue_ready(&line.queue, 0), &line.places[0]);
	oauth_queue_move(&line.queue, &line.places[0], OAUTH_STAGE_TRAVELLING);
	assert_ptr_equal(oauth_queue_ready(&line.queue, 0), &line.places[1]);
	oauth_queue_move(&line.queue, &line.places[2], OAUTH_STAGE_ENDED);
	oauth_queue_move(&line.queue, &line.places[1], OAUTH_STAGE_ENDED);
	assert_ptr_equal(oauth_queue_first(&line.queue, OAUTH_STAGE_ENDED), &line.places[2]);
	assert_int_equal(oauth_queue_taken(&line.queue), PLACES);
	oauth_queue_move(&line.queue, &line.places[2], OAUTH_STAGE_IDLE);
	assert_int_equal(oauth_queue_taken(&line.queue), PLACES - 1);
	assert_int_equal(oauth_queue_size(&line.queue), PLACES);
	oauth_queue_remove(&line.queue, &line.places[2]);
	assert_int_equal(oauth_queue_size(&line.queue), PLACES - 1);
}

static void test_an_origin_waits_for_its_lookups(void **state)
{
	struct line line;

	(void)state;
	form(&line, 1000);
	look_up(&line, OAUTH_QUEUE_LOOKUPS_MAX);
	assert_null(oauth_queue_ready(&line.queue, 0));
	line.places[PLACES - 1].origin = "https://b.example";
	assert_ptr_equal(oauth_queue_ready(&line.queue, 0), &line.places[PLACES - 1]);
	oauth_queue_move(&line.queue, &line.places[3], OAUTH_STAGE_TRAVELLING);
	assert_ptr_equal(oauth_queue_ready(&line.queue, 0), &line.places[OAUTH_QUEUE_LOOKUPS_MAX]);
}

static void test_whose_time_is_over_waits_no_more(void **state)
{
	struct line line;

	(void)state;
	form(&line, 1000);
	look_up(&line, OAUTH_QUEUE_LOOKUPS_MAX);
	line.places[PLACES - 2].deadline_ms = 400;
	assert_null(oauth_queue_ready(&line.queue, 399));
	assert_ptr_equal(oauth_queue_ready(&line.queue, 400), &line.places[PLACES - 2]);
}

static void test_patience_ends_with_the_first_deadline_of_those_who_wait(void **state)
{
	struct line line;

	(void)state;
	form(&line, 1000);
	line.places[0].deadline_ms = 100;
	look_up(&line, 1);
	line.places[5].deadline_ms = 400;
	assert_int_equal(oauth_queue_patience_ms(&line.queue, 150, 10000), 250);
	assert_int_equal(oauth_queue_patience_ms(&line.queue, 150, 249), 249);
	assert_int_equal(oauth_queue_patience_ms(&line.queue, 401, 10000), 0);
	look_up(&line, PLACES);
	assert_int_equal(oauth_queue_patience_ms(&line.queue, 401, 10000), 10000);
	assert_int_equal(oauth_queue_patience_ms(&line.queue, 401, -1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_first_goes_first),
		cmocka_unit_test(test_an_origin_waits_for_its_lookups),
		cmocka_unit_test(test_whose_time_is_over_waits_no_more),
		cmocka_unit_test(test_patience_ends_with_the_first_deadline_of_those_who_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
