/* Places: how many there are, that nobody has one twice, and that none is ever lost. */
#include "../support/fake_renew.h"

#include "base/clock.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int to_renew(struct service *s, const char *provider, struct custody_place *place)
{
	return custody_place_to_renew(&s->w, &s->c, &fake_renew_places, provider, place);
}

static int to_wait(struct service *s, struct custody_place *place)
{
	return custody_place_to_wait(&s->w, &s->c, &fake_renew_places, place);
}

/* As if it had been taken long ago: nobody stays for it. */
static void age(const struct custody_place *place)
{
	fake_renew_age(place->own_fd);
	fake_renew_age(place->away_fd);
}

static void a_pool_s_size_decides(void **state)
{
	static const size_t sizes[][4] = {
		/* workers, away, renewing, waiting */
		{0, 1, 1, 1},
		{1, 1, 1, 1},
		{2, 1, 1, 1},
		{3, 2, 1, 1},
		{4, 3, 2, 1},
		{8, 7, 4, 2},
		{16, 15, 8, 4},
	};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(sizes); i++) {
		struct custody_places places = custody_places_of(sizes[i][0]);

		assert_int_equal(places.away, sizes[i][1]);
		assert_int_equal(places.renewing, sizes[i][2]);
		assert_int_equal(places.waiting, sizes[i][3]);
	}
}

static void half_of_a_pool_renews_at_one_provider(void **state)
{
	struct service *s = *state;
	struct custody_place one, two, three;

	assert_true(to_renew(s, "zoho_crm", &one));
	assert_true(to_renew(s, "zoho_crm", &two));
	age(&one);
	age(&two);
	assert_false(to_renew(s, "zoho_crm", &three));
	/* which takes nothing of what is left for another one */
	assert_true(to_renew(s, "zoho_calendar", &three));
	custody_place_leave(&three);
	custody_place_leave(&one);
	assert_true(to_renew(s, "zoho_crm", &one));
	custody_place_leave(&one);
	custody_place_leave(&two);
	custody_place_leave(&two); /* harmless */
}

static void one_worker_always_stays(void **state)
{
	struct service *s = *state;
	struct custody_place places[4];

	assert_true(to_renew(s, "zoho_crm", &places[0]));
	assert_true(to_renew(s, "zoho_calendar", &places[1]));
	assert_true(to_wait(s, &places[2]));
	for (int i = 0; i < 3; i++)
		age(&places[i]);
	assert_false(to_renew(s, "zoho_books", &places[3]));
	custody_place_leave(&places[2]);
	assert_true(to_renew(s, "zoho_books", &places[2]));
	assert_false(to_wait(s, &places[3]));
	for (int i = 0; i < 4; i++)
		custody_place_leave(&places[i]);
}

static void a_quarter_waits(void **state)
{
	struct service *s = *state;
	struct custody_place one, two;

	assert_true(to_wait(s, &one));
	assert_false(to_wait(s, &two));
	custody_place_leave(&one);
	assert_true(to_wait(s, &two));
	custody_place_leave(&two);
}

/* A child takes all places and is killed with them; what it writes to the pipe says that it has
 * them. */
static void a_killed_worker_gives_back_what_it_held(void **state)
{
	struct service *s = *state;
	struct custody_place place;
	int pipes[2];
	char byte;
	pid_t child;

	assert_int_equal(pipe(pipes), 0);
	child = fork();
	if (child == 0) {
		struct custody_place held[3];
		int all = to_renew(s, "zoho_crm", &held[0]) && to_renew(s, "zoho_crm", &held[1]) &&
			  to_wait(s, &held[2]);

		age(&held[0]);
		age(&held[1]);
		age(&held[2]);
		(void)!write(pipes[1], all ? "y" : "n", 1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	assert_int_equal(byte, 'y');
	assert_false(to_renew(s, "zoho_crm", &place));
	assert_false(to_wait(s, &place));
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_true(to_renew(s, "zoho_crm", &place));
	custody_place_leave(&place);
	assert_true(to_wait(s, &place));
	custody_place_leave(&place);
	close(pipes[0]);
	close(pipes[1]);
}

/* Most renewals are over soon, so a place that was taken a moment ago is worth a moment. */
static void a_place_just_taken_is_stayed_for(void **state)
{
	struct service *s = *state;
	struct custody_place place, other;
	int pipes[2];
	char byte;
	pid_t child;

	assert_true(to_renew(s, "zoho_crm", &other));
	assert_int_equal(pipe(pipes), 0);
	child = fork();
	if (child == 0) {
		const struct timespec moment = {.tv_nsec = 200000000};

		custody_place_leave(&other); /* the fork shares it */
		(void)!to_renew(s, "zoho_crm", &place);
		(void)!write(pipes[1], "y", 1);
		nanosleep(&moment, NULL);
		_exit(0);
	}
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	assert_true(to_renew(s, "zoho_crm", &place));
	assert_int_equal(waitpid(child, NULL, 0), child);
	custody_place_leave(&place);
	custody_place_leave(&other);
	close(pipes[0]);
	close(pipes[1]);
}

static void it_is_not_stayed_for_long(void **state)
{
	struct service *s = *state;
	struct custody_place places[3];
	int64_t began_ms = clock_monotonic_ms();

	assert_true(to_renew(s, "zoho_crm", &places[0]));
	assert_true(to_renew(s, "zoho_crm", &places[1]));
	assert_false(to_renew(s, "zoho_crm", &places[2]));
	assert_in_range(clock_monotonic_ms() - began_ms, 500, 4000);
	age(&places[0]);
	age(&places[1]);
	began_ms = clock_monotonic_ms();
	assert_false(to_renew(s, "zoho_crm", &places[2]));
	assert_in_range(clock_monotonic_ms() - began_ms, 0, 300);
	custody_place_leave(&places[0]);
	custody_place_leave(&places[1]);
}

/* Where places change hands all the time somebody may never get one. */
static void nor_by_one_who_is_never_lucky(void **state)
{
	const struct timespec moment = {.tv_nsec = 50000000};
	struct service *s = *state;
	struct custody_place places[3];
	int64_t began_ms;
	pid_t child;

	assert_true(to_renew(s, "zoho_crm", &places[0]));
	assert_true(to_renew(s, "zoho_crm", &places[1]));
	child = fork();
	for (int i = 0; child == 0 && i < 200; i++) {
		futimens(places[0].own_fd, NULL);
		nanosleep(&moment, NULL);
	}
	if (child == 0)
		_exit(0);
	began_ms = clock_monotonic_ms();
	assert_false(to_renew(s, "zoho_crm", &places[2]));
	assert_in_range(clock_monotonic_ms() - began_ms, 1000, 4000);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	custody_place_leave(&places[0]);
	custody_place_leave(&places[1]);
}

/* A limit that cannot be kept must not stop what it limits; nobody waits without one. */
static void where_places_cannot_be_made_renewals_go_on(void **state)
{
	struct service *s = *state;
	struct custody_place place;

	service_set(s, CONF_runtime_dir, "/nowhere/at/all");
	assert_true(to_renew(s, "zoho_crm", &place));
	assert_int_equal(place.own_fd, -1);
	custody_place_leave(&place);
	assert_false(to_wait(s, &place));
	unit_same("detail", s->w.detail, NULL);
	unit_same("cause", s->w.cause, NULL);
}

static void others_cannot_look_into_the_places(void **state)
{
	struct service *s = *state;
	struct custody_place place;
	struct stat is;

	assert_true(to_wait(s, &place));
	custody_place_leave(&place);
	assert_int_equal(stat(fake_renew_place(s, ""), &is), 0);
	assert_int_equal(is.st_mode & 0777, 0700);
	assert_int_equal(stat(fake_renew_place(s, "wait.0"), &is), 0);
	assert_int_equal(is.st_mode & 0777, 0600);
	assert_int_equal(is.st_size, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pool_s_size_decides),
		FAKE_RENEW_TEST(half_of_a_pool_renews_at_one_provider),
		FAKE_RENEW_TEST(one_worker_always_stays),
		FAKE_RENEW_TEST(a_quarter_waits),
		FAKE_RENEW_TEST(a_killed_worker_gives_back_what_it_held),
		FAKE_RENEW_TEST(a_place_just_taken_is_stayed_for),
		FAKE_RENEW_TEST(it_is_not_stayed_for_long),
		FAKE_RENEW_TEST(nor_by_one_who_is_never_lucky),
		FAKE_RENEW_TEST(where_places_cannot_be_made_renewals_go_on),
		FAKE_RENEW_TEST(others_cannot_look_into_the_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
