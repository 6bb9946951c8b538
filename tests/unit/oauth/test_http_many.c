/* The way out, many requests at once: whose answer is whose, who waits for whom, and what time and
 * names do to it. */
#include "http_server.h"

#include "base/clock.h"
#include "base/text.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MANY 200
#define SHOWN __attribute__((visibility("default")))

/* Stands before the C library's, for libcurl too: the monotonic clock goes as far ahead as a test
 * wants. */
static int64_t ahead_s;

SHOWN int clock_gettime(clockid_t clock, struct timespec *time)
{
	long failed = syscall(SYS_clock_gettime, clock, time);

	if (clock == CLOCK_MONOTONIC)
		time->tv_sec += ahead_s;
	return (int)failed;
}

/* Names that end with .test lead to this machine, those of slow.test once the gate is open. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int is_closed, waiting, lookups;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void pass_gate(int is_slow)
{
	pthread_mutex_lock(&gate.lock);
	gate.lookups++;
	gate.waiting++;
	while (is_slow && gate.is_closed)
		pthread_cond_wait(&gate.changed, &gate.lock);
	gate.waiting--;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

SHOWN int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
	struct addrinfo **result)
{
	int (*original)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	int is_ours = strstr(node, ".test") != NULL;

	*(void **)&original = dlsym(RTLD_NEXT, "getaddrinfo");
	if (is_ours)
		pass_gate(text_equal(node, "slow.test"));
	return original(is_ours ? "127.0.0.1" : node, service, hints, result);
}

static void close_gate(void)
{
	gate.is_closed = 1;
	gate.lookups = 0;
}

/* Opens it and waits for the last one to come out. */
static void open_gate(void)
{
	pthread_mutex_lock(&gate.lock);
	gate.is_closed = 0;
	pthread_cond_broadcast(&gate.changed);
	while (gate.waiting)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
}

/* One of many requests; its address is its tag. */
struct one {
	struct oauth_http_request request;
	struct oauth_http_answer answer;
	char *body;
	int ended;
};

static void prepare(struct fixture *f, struct one *one, unsigned port, const char *path, int id)
{
	*one = (struct one){.request = request_to(f, port, OAUTH_METHOD_POST),
		.body = work_printf(&f->w, "id=%d", id)};
	one->request.url = work_printf(&f->w, "%s%s", one->request.origin, path);
	one->request.body = fixture_secret(f, one->body);
}

static void start_one(struct fixture *f, struct oauth_http *http, struct one *one)
{
	assert_int_equal(oauth_http_start(&f->w, http, &one->request, &one->answer, one), ERR_OK);
}

static struct one *wait_one(struct oauth_http *http)
{
	struct one *one;

	while (!(one = oauth_http_next(http)))
		assert_int_equal(oauth_http_wait(http, 10000, -1), ERR_OK);
	assert_int_equal(one->ended++, 0);
	return one;
}

static void assert_answered(const struct one *one)
{
	assert_int_equal(one->answer.transport, OAUTH_TRANSPORT_OK);
	assert_int_equal(one->answer.status, 200);
	assert_string_equal(one->answer.body.data, one->body);
}

static void assert_failed(const struct one *one, enum oauth_transport transport, const char *cause)
{
	assert_int_equal(one->answer.transport, transport);
	assert_string_equal(one->answer.cause, cause);
}

static void test_many_are_on_their_way_at_once(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start_crowd(f, MANY);
	struct oauth_http *http = http_new(f, NULL);
	struct one *ones = work_alloc(&f->w, MANY * sizeof(*ones));

	for (int i = 0; i < MANY; i++) {
		prepare(f, &ones[i], server->port, "/", i);
		start_one(f, http, &ones[i]);
	}
	assert_int_equal(oauth_http_count(http), MANY);
	/* the server answers nobody before all are there */
	for (size_t left = MANY; left; left--) {
		assert_int_equal(oauth_http_count(http), left);
		assert_answered(wait_one(http));
	}
	assert_null(oauth_http_next(http));
	assert_int_equal(oauth_http_count(http), 0);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(server->seen->arrived[i], 1);
}

/* Sends a round of posts at once and takes their answers. */
static void send_round(struct fixture *f, struct oauth_http *http, struct one *ones, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ones[i].ended = 0;
		start_one(f, http, &ones[i]);
	}
	for (size_t i = 0; i < n; i++)
		assert_answered(wait_one(http));
}

static void test_rounds_share_their_connections(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start_crowd(f, 20);
	struct oauth_http *http = http_new(f, NULL);
	struct one ones[20];

	for (int i = 0; i < 20; i++) {
		prepare(f, &ones[i], server->port, "/", i);
		ones[i].request.may_reuse = 1;
	}
	send_round(f, http, ones, 20);
	send_round(f, http, ones, 20);
	assert_int_equal(server->seen->connections, 20);
	for (int i = 0; i < 20; i++)
		ones[i].request.may_reuse = 0;
	send_round(f, http, ones, 20);
	assert_int_equal(server->seen->connections, 40);
}

static void test_one_that_hangs_ends_alone_at_its_own_deadline(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start_crowd(f, 50);
	struct oauth_http *http = http_new(f, NULL);
	struct one hanging, ones[50];
	int64_t began_ms = clock_monotonic_ms();

	prepare(f, &hanging, server->port, "/hang", 900);
	hanging.request.total_ms = 1000;
	start_one(f, http, &hanging);
	for (int i = 0; i < 50; i++) {
		prepare(f, &ones[i], server->port, "/", i);
		start_one(f, http, &ones[i]);
	}
	for (int i = 0; i < 50; i++)
		assert_answered(wait_one(http));
	assert_ptr_equal(wait_one(http), &hanging);
	assert_failed(&hanging, OAUTH_TRANSPORT_AMBIGUOUS, "deadline");
	assert_in_range(clock_monotonic_ms() - began_ms, 1000, 4000);
	assert_int_equal(server->seen->arrived[900], 1);
}

static void test_each_one_fails_for_itself(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start_crowd(f, 10);
	struct oauth_http *http = http_new(f, NULL);
	struct one ones[10], endless, dropped, private, outside, nobody;
	unsigned port;

	close(listen_on_loopback(&port));
	prepare(f, &endless, server->port, "/endless", 900);
	prepare(f, &dropped, server->port, "/drop", 901);
	prepare(f, &nobody, port, "/", 902);
	private = outside = nobody;
	private.request.url = private.request.origin = "https://10.0.0.1";
	private.request.allow_loopback = 0;
	outside.request.url = outside.request.origin = "https://8.8.8.8";
	start_one(f, http, &endless);
	start_one(f, http, &dropped);
	start_one(f, http, &nobody);
	start_one(f, http, &private);
	start_one(f, http, &outside);
	for (int i = 0; i < 10; i++) {
		prepare(f, &ones[i], server->port, "/", i);
		start_one(f, http, &ones[i]);
	}
	for (int i = 0; i < 15; i++)
		wait_one(http);
	for (int i = 0; i < 10; i++)
		assert_answered(&ones[i]);
	assert_failed(&endless, OAUTH_TRANSPORT_AMBIGUOUS, "too_large");
	assert_failed(&dropped, OAUTH_TRANSPORT_AMBIGUOUS, "dropped");
	assert_failed(&nobody, OAUTH_TRANSPORT_NOT_SENT, "connect");
	assert_failed(&private, OAUTH_TRANSPORT_NOT_SENT, "address_refused");
	assert_failed(&outside, OAUTH_TRANSPORT_NOT_SENT, "address_refused");
	assert_int_equal(server->seen->arrived[901], 1);
}

static void test_what_was_not_started_is_not_on_its_way(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start_crowd(f, 1);
	struct oauth_http *http = http_new(f, NULL);
	struct one bad, late;

	prepare(f, &bad, server->port, "/", 1);
	assert_int_equal(oauth_http_start(&f->w, http, &bad.request, &bad.answer, NULL), ERR_BUG);
	bad.request.origin = "http://127.0.0.1:1";
	assert_int_equal(oauth_http_start(&f->w, http, &bad.request, &bad.answer, &bad), ERR_BUG);
	assert_int_equal(oauth_http_count(http), 0);
	prepare(f, &late, server->port, "/", 2);
	late.request.total_ms = 0;
	start_one(f, http, &late);
	assert_int_equal(oauth_http_count(http), 1);
	assert_ptr_equal(oauth_http_next(http), &late); /* at once */
	assert_failed(&late, OAUTH_TRANSPORT_NOT_SENT, "deadline");
	assert_int_equal(oauth_http_count(http), 0);
	assert_int_equal(oauth_http_wait(http, 0, -1), ERR_OK);
	assert_null(oauth_http_next(http));
	assert_int_equal(server->seen->connections, 0);
}

static void test_time_counts_from_the_start(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start_crowd(f, 1);
	struct oauth_http *http = http_new(f, NULL);
	struct one one;

	prepare(f, &one, server->port, "/", 1);
	one.request.total_ms = 2000;
	start_one(f, http, &one);
	ahead_s += 3;
	assert_ptr_equal(wait_one(http), &one);
	assert_failed(&one, OAUTH_TRANSPORT_NOT_SENT, "deadline");
	assert_int_equal(server->seen->connections, 0);
}

static void test_a_call_moves_the_started_ones_on(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start_crowd(f, 2);
	struct oauth_http *http = http_new(f, NULL);
	struct one started, called;

	prepare(f, &started, server->port, "/", 1);
	prepare(f, &called, server->port, "/", 2);
	start_one(f, http, &started);
	assert_int_equal(oauth_http_call(&f->w, http, &called.request, &called.answer), ERR_OK);
	assert_answered(&called);
	assert_ptr_equal(wait_one(http), &started);
	assert_answered(&started);
}

static void test_another_descriptor_ends_the_wait(void **state)
{
	struct fixture *f = *state;
	struct oauth_http *http = http_new(f, NULL);
	int64_t began_ms = clock_monotonic_ms();
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(oauth_http_wait(http, 50, ends[0]), ERR_OK);
	assert_in_range(clock_monotonic_ms() - began_ms, 50, 4000);
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_int_equal(oauth_http_wait(http, 8000, ends[0]), ERR_OK);
	assert_in_range(clock_monotonic_ms() - began_ms, 50, 4000);
	close(ends[0]);
	close(ends[1]);
}

static void test_freeing_gives_up_what_is_on_its_way(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start_crowd(f, MANY);
	struct oauth_http *http = oauth_http_new(NULL);
	struct one ones[20], waiting;

	assert_non_null(http);
	for (int i = 0; i < 20; i++) {
		prepare(f, &ones[i], server->port, i % 2 ? "/hang" : "/", i);
		start_one(f, http, &ones[i]);
	}
	while (server->seen->requests < 20)
		assert_int_equal(oauth_http_wait(http, 10, -1), ERR_OK);
	assert_int_equal(server->seen->open, 20);
	prepare(f, &waiting, server->port, "/", 900);
	start_one(f, http, &waiting);
	oauth_http_free(http);
	while (*(volatile int *)&server->seen->open) /* ends with the work's ten seconds */
		assert_true(work_left_ms(&f->w) > 0);
	for (int i = 0; i < 20; i++)
		assert_null(ones[i].answer.cause);
	assert_int_equal(server->seen->arrived[900], 0);
}

static void test_connections_grow_too_old_for_use(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start_crowd(f, 1);
	struct oauth_http *http = http_new(f, NULL);
	struct one one;

	f->w.deadline_ms += 1000000;
	prepare(f, &one, server->port, "/", 1);
	one.request.may_reuse = 1;
	for (int i = 0; i < 2; i++, ahead_s += OAUTH_HTTP_IDLE_MAX_S + 1)
		send_round(f, http, &one, 1);
	assert_int_equal(server->seen->connections, 2);
	for (int i = 0; i < OAUTH_HTTP_CONNECTION_MAX_S; i++, ahead_s++)
		send_round(f, http, &one, 1);
	assert_int_equal(server->seen->connections, 3);
	for (int i = 0; i < 2; i++, ahead_s++)
		send_round(f, http, &one, 1);
	assert_int_equal(server->seen->connections, 4);
}

/* Starts n requests to a host, at a port where nobody listens. */
static void start_at(struct fixture *f, struct oauth_http *http, struct one *ones, int n,
	const char *host, int64_t total_ms)
{
	for (int i = 0; i < n; i++) {
		prepare(f, &ones[i], 1, "/", i);
		ones[i].request.url = ones[i].request.origin =
			work_printf(&f->w, "https://%s:1", host);
		ones[i].request.total_ms = total_ms;
		start_one(f, http, &ones[i]);
	}
}

static void test_a_name_that_nobody_answers_holds_up_nobody_else(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start_crowd(f, 20);
	struct oauth_http *http = http_new(f, NULL);
	struct one slow[100], ones[20];

	close_gate();
	start_at(f, http, slow, 16, "slow.test", 2000);
	start_at(f, http, slow + 16, 84, "slow.test", 500);
	for (int i = 0; i < 20; i++)
		prepare(f, &ones[i], server->port, "/", i);
	send_round(f, http, ones, 20);
	for (int i = 0; i < 84; i++)
		assert_true(wait_one(http) >= slow + 16);
	assert_int_equal(oauth_http_count(http), 16);
	assert_int_equal(gate.lookups, 16);
	for (int i = 0; i < 16; i++)
		wait_one(http);
	for (int i = 0; i < 100; i++)
		assert_failed(&slow[i], OAUTH_TRANSPORT_NOT_SENT, "deadline");
	assert_int_equal(gate.waiting, 16); /* nobody waited for the end of the lookups */
	open_gate();
}

static void test_one_lookup_serves_the_rest(void **state)
{
	struct fixture *f = *state;
	struct oauth_http *http = http_new(f, NULL);
	struct one ones[MANY];

	close_gate();
	start_at(f, http, ones, MANY, "quick.test", 5000);
	for (int i = 0; i < MANY; i++)
		wait_one(http);
	for (int i = 0; i < MANY; i++)
		assert_failed(&ones[i], OAUTH_TRANSPORT_NOT_SENT, "connect");
	assert_in_range(gate.lookups, 1, 16);
	open_gate();
}

static void test_freeing_waits_for_no_name(void **state)
{
	struct fixture *f = *state;
	struct oauth_http *http = oauth_http_new(NULL);
	struct one one;

	close_gate();
	start_at(f, http, &one, 1, "slow.test", 5000);
	while (!gate.waiting)
		assert_int_equal(oauth_http_wait(http, 10, -1), ERR_OK);
	oauth_http_free(http); /* would wait for ever */
	open_gate();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)

static int setup(void **state)
{
	return oauth_http_init() ? -1 : fixture_setup(state);
}

static int teardown(void **state)
{
	oauth_http_cleanup();
	return fixture_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_many_are_on_their_way_at_once),
		TEST(test_rounds_share_their_connections),
		TEST(test_one_that_hangs_ends_alone_at_its_own_deadline),
		TEST(test_each_one_fails_for_itself),
		TEST(test_what_was_not_started_is_not_on_its_way),
		TEST(test_time_counts_from_the_start),
		TEST(test_a_call_moves_the_started_ones_on),
		TEST(test_another_descriptor_ends_the_wait),
		TEST(test_freeing_gives_up_what_is_on_its_way),
		TEST(test_connections_grow_too_old_for_use),
		TEST(test_a_name_that_nobody_answers_holds_up_nobody_else),
		TEST(test_one_lookup_serves_the_rest),
		TEST(test_freeing_waits_for_no_name),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
