/* The way out, one request after the other. */
#include "http_server.h"

#include "base/clock.h"
#include "base/text.h"
#include "oauth/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Whether the requests of a test are started and waited for, instead of called. */
static int are_started;

static enum err send_request(struct fixture *f, struct oauth_http *http,
	const struct oauth_http_request *request, struct oauth_http_answer *answer)
{
	enum err err;
	void *ended;

	if (!are_started)
		return oauth_http_call(&f->w, http, request, answer);
	err = oauth_http_start(&f->w, http, request, answer, answer);
	assert_int_equal(oauth_http_count(http), err ? 0 : 1);
	while (!err && !(ended = oauth_http_next(http)))
		assert_int_equal(oauth_http_wait(http, 10000, -1), ERR_OK);
	if (!err)
		assert_ptr_equal(ended, answer);
	assert_int_equal(oauth_http_count(http), 0);
	return err;
}

static struct oauth_http_answer call(
	struct fixture *f, struct oauth_http *http, const struct oauth_http_request *request)
{
	struct oauth_http_answer answer;

	assert_int_equal(send_request(f, http, request, &answer), ERR_OK);
	return answer;
}

static struct oauth_http_answer post(struct fixture *f, struct server *server)
{
	struct oauth_http_request request = request_to(f, server->port, OAUTH_METHOD_POST);

	return call(f, http_new(f, NULL), &request);
}

static int answer_ok(int fd, struct seen *seen)
{
	(void)seen;
	return say(fd, "HTTP/1.1 200 OK\r\nContent-Type: Application/JSON; "
		       "charset=utf-8\r\nRetry-After: 7\r\n"
		       "Content-Length: 7\r\n\r\n{\"a\":1}");
}

static void test_a_request_arrives_as_it_was_made(void **state)
{
	static const struct oauth_pair headers[] = {
		{"Accept", "application/json"}, {"Accept-Language", "en"}};
	struct fixture *f = *state;
	struct server *server = server_start(f, answer_ok);
	struct oauth_http_request request = request_to(f, server->port, OAUTH_METHOD_POST);
	struct oauth_http_answer answer;
	const char *seen = server->seen->last;

	request.headers = (struct oauth_pairs){headers, 2};
	request.scheme = "Basic";
	request.credential = fixture_secret(f, "aWQ6c2VjcmV0");
	answer = call(f, http_new(f, NULL), &request);
	assert_int_equal(answer.transport, OAUTH_TRANSPORT_OK);
	assert_null(answer.cause);
	assert_int_equal(answer.status, 200);
	assert_string_equal(answer.content_type, "application/json");
	assert_string_equal(answer.body.data, "{\"a\":1}");
	assert_int_equal(answer.retry_after_s, 7);
	assert_true(text_starts(seen, "POST /token?x=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
	assert_non_null(strstr(seen, "\r\nAuthorization: Basic aWQ6c2VjcmV0\r\n"));
	assert_non_null(strstr(seen, "\r\nAccept: application/json\r\n"));
	assert_non_null(strstr(seen, "\r\nAccept-Language: en\r\n"));
	assert_non_null(strstr(seen, "\r\nContent-Type: application/x-www-form-urlencoded\r\n"));
	assert_non_null(strstr(seen, "\r\nUser-Agent: vestal/"));
	assert_non_null(strstr(seen, "\r\n\r\nrefresh_token=r"));
	assert_null(strstr(seen, "Accept-Encoding"));
	assert_null(strstr(seen, "Expect"));
	assert_null(strstr(seen, "Cookie"));
}

static void test_delete_carries_its_body(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start(f, answer_ok);
	struct oauth_http_request request = request_to(f, server->port, OAUTH_METHOD_DELETE);

	assert_int_equal(call(f, http_new(f, NULL), &request).status, 200);
	assert_true(text_starts(server->seen->last, "DELETE /token"));
	assert_non_null(strstr(server->seen->last, "\r\n\r\nrefresh_token=r"));
}

static void test_a_large_body_arrives_whole(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start_crowd(f, 1);
	struct oauth_http_request request = request_to(f, server->port, OAUTH_METHOD_POST);
	struct oauth_http_answer answer;
	char *body = work_alloc(&f->w, 60001);

	for (int i = 0; i < 60000; i++)
		body[i] = (char)('a' + i % 26);
	request.body = fixture_secret(f, body);
	answer = call(f, http_new(f, NULL), &request);
	assert_int_equal(answer.status, 200);
	assert_string_equal(answer.body.data, body);
	assert_int_equal(server->seen->requests, 1);
}

static int answer_redirect(int fd, struct seen *seen)
{
	(void)seen;
	return say(fd, "HTTP/1.1 307 See\r\nLocation: /elsewhere\r\nSet-Cookie: "
		       "a=b\r\nContent-Length: 0\r\n\r\n");
}

static void test_redirects_are_not_followed_and_cookies_not_kept(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start(f, answer_redirect);
	struct oauth_http_request request = request_to(f, server->port, OAUTH_METHOD_GET);
	struct oauth_http *http = http_new(f, NULL);

	assert_int_equal(call(f, http, &request).status, 307);
	assert_int_equal(call(f, http, &request).transport, OAUTH_TRANSPORT_OK);
	assert_int_equal(server->seen->requests, 2);
	assert_int_equal(call(f, http, &request).status, 307);
	assert_int_equal(server->seen->requests, 3);
	assert_null(strstr(server->seen->last, "Cookie"));
}

static int answer_endless(int fd, struct seen *seen)
{
	char page[4096];

	(void)seen;
	memset(page, 'x', sizeof(page));
	if (!say(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"))
		return 0;
	while (send(fd, page, sizeof(page), MSG_NOSIGNAL) > 0)
		;
	return 0;
}

static void test_endless_body_is_cut_at_the_ceiling(void **state)
{
	struct fixture *f = *state;
	int64_t began_ms = clock_monotonic_ms();
	struct oauth_http_answer answer = post(f, server_start(f, answer_endless));

	/* long before its deadline of five seconds */
	assert_in_range(clock_monotonic_ms() - began_ms, 0, 3000);
	assert_int_equal(answer.transport, OAUTH_TRANSPORT_AMBIGUOUS);
	assert_string_equal(answer.cause, "too_large");
	assert_true(answer.body.len <= OAUTH_HTTP_BODY_MAX_BYTES);
}

static int answer_full(int fd, struct seen *seen)
{
	char *body = malloc(OAUTH_HTTP_BODY_MAX_BYTES + 1);

	(void)seen;
	memset(body, 'x', OAUTH_HTTP_BODY_MAX_BYTES);
	body[OAUTH_HTTP_BODY_MAX_BYTES] = '\0';
	say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 262144\r\n\r\n");
	say(fd, body);
	free(body);
	return 0;
}

static void test_a_body_of_exactly_the_ceiling_is_whole(void **state)
{
	struct fixture *f = *state;
	struct oauth_http_answer answer = post(f, server_start(f, answer_full));

	assert_int_equal(answer.transport, OAUTH_TRANSPORT_OK);
	assert_int_equal(answer.body.len, OAUTH_HTTP_BODY_MAX_BYTES);
}

static int answer_drip(int fd, struct seen *seen)
{
	static const struct timespec pause = {0, 50000000};

	(void)seen;
	if (!say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"))
		return 0;
	while (say(fd, "x"))
		nanosleep(&pause, NULL);
	return 0;
}

static void test_slow_drip_ends_at_the_requests_deadline(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start(f, answer_drip);
	struct oauth_http_request request = request_to(f, server->port, OAUTH_METHOD_POST);
	int64_t began_ms = clock_monotonic_ms();
	struct oauth_http_answer answer;

	request.total_ms = 400;
	answer = call(f, http_new(f, NULL), &request);
	assert_int_equal(answer.transport, OAUTH_TRANSPORT_AMBIGUOUS);
	assert_string_equal(answer.cause, "deadline");
	assert_in_range(clock_monotonic_ms() - began_ms, 350, 3000);
}

static void test_the_works_deadline_counts_too(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start(f, answer_drip);
	struct oauth_http_request request = request_to(f, server->port, OAUTH_METHOD_POST);
	int64_t began_ms = clock_monotonic_ms();
	struct oauth_http_answer answer;

	f->w.deadline_ms = began_ms + 400;
	answer = call(f, http_new(f, NULL), &request);
	assert_string_equal(answer.cause, "deadline");
	assert_in_range(clock_monotonic_ms() - began_ms, 350, 3000);
	f->w.deadline_ms = began_ms;
	answer = call(f, http_new(f, NULL), &request);
	assert_int_equal(answer.transport, OAUTH_TRANSPORT_NOT_SENT);
	assert_string_equal(answer.cause, "deadline");
	assert_int_equal(server->seen->requests, 1);
}

static void test_refused_connection_was_not_sent(void **state)
{
	struct fixture *f = *state;
	struct oauth_http_request request;
	struct oauth_http_answer answer;
	unsigned port;

	close(listen_on_loopback(&port));
	request = request_to(f, port, OAUTH_METHOD_POST);
	answer = call(f, http_new(f, NULL), &request);
	assert_int_equal(answer.transport, OAUTH_TRANSPORT_NOT_SENT);
	assert_string_equal(answer.cause, "connect");
}

static int answer_nothing(int fd, struct seen *seen)
{
	(void)fd;
	(void)seen;
	return 0;
}

static int answer_half(int fd, struct seen *seen)
{
	(void)seen;
	say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"access_tok");
	return 0;
}

static int answer_noise(int fd, struct seen *seen)
{
	(void)seen;
	say(fd, "\x15\x03\x01 what is this\r\n\r\n");
	return 0;
}

static void test_lost_answers_are_ambiguous(void **state)
{
	static int (*const servers[])(int fd, struct seen *seen) = {
		answer_nothing, answer_half, answer_noise};
	static const char *const causes[] = {"dropped", "dropped", "protocol"};
	struct fixture *f = *state;

	for (size_t i = 0; i < 3; i++) {
		struct server *server = server_start(f, servers[i]);
		struct oauth_http_answer answer = post(f, server);

		assert_int_equal(answer.transport, OAUTH_TRANSPORT_AMBIGUOUS);
		assert_string_equal(answer.cause, causes[i]);
		assert_int_equal(server->seen->requests, 1);
	}
}

/* The first request on a connection is answered, the second one swallowed. */
static int answer_once(int fd, struct seen *seen)
{
	static int answered_on = -1;

	if (answered_on == seen->connections)
		return 0;
	answered_on = seen->connections;
	return answer_ok(fd, seen);
}

static void test_a_post_is_never_sent_twice_over_a_dead_connection(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start(f, answer_once);
	struct oauth_http_request get = request_to(f, server->port, OAUTH_METHOD_GET);
	struct oauth_http_request send = request_to(f, server->port, OAUTH_METHOD_POST);
	struct oauth_http *http = http_new(f, NULL);

	assert_int_equal(call(f, http, &get).status, 200);
	assert_int_equal(server->seen->connections, 1);
	/* the server takes one connection after the other: it has to see the first one closed */
	send.total_ms = 300;
	assert_int_equal(call(f, http, &send).transport, OAUTH_TRANSPORT_AMBIGUOUS);
	assert_int_equal(server->seen->requests, 1);
}

/* A request that may go over a kept connection, with a body that can be told. */
static struct oauth_http_request reusing(
	struct fixture *f, struct server *server, const char *path, int id)
{
	struct oauth_http_request request = request_to(f, server->port, OAUTH_METHOD_POST);

	request.url = work_printf(&f->w, "%s%s", request.origin, path);
	request.body = fixture_secret(f, work_printf(&f->w, "id=%d", id));
	request.may_reuse = 1;
	return request;
}

static void test_a_post_shares_a_connection_where_it_may(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start_crowd(f, 1);
	struct oauth_http_request first = reusing(f, server, "/", 1);
	struct oauth_http_request second = reusing(f, server, "/", 2);
	struct oauth_http *http = http_new(f, NULL);

	assert_int_equal(call(f, http, &first).status, 200);
	assert_string_equal(call(f, http, &second).body.data, "id=2");
	assert_int_equal(server->seen->connections, 1);
	first.may_reuse = 0;
	assert_int_equal(call(f, http, &first).status, 200);
	assert_int_equal(server->seen->connections, 2);
}

static void test_a_post_over_a_kept_connection_that_dies_arrives_once(void **state)
{
	static const enum oauth_method methods[] = {OAUTH_METHOD_POST, OAUTH_METHOD_DELETE};
	static const char *const paths[] = {"/drop", "/reset"};
	struct fixture *f = *state;

	for (size_t i = 0; i < 4; i++) {
		struct server *server = server_start_crowd(f, 1);
		struct oauth_http_request first = reusing(f, server, "/", 1);
		struct oauth_http_request second = reusing(f, server, paths[i / 2], 2);
		struct oauth_http *http = http_new(f, NULL);
		struct oauth_http_answer answer;

		second.method = methods[i % 2];
		assert_int_equal(call(f, http, &first).status, 200);
		answer = call(f, http, &second);
		assert_int_equal(answer.transport, OAUTH_TRANSPORT_AMBIGUOUS);
		assert_string_equal(answer.cause, "dropped");
		assert_int_equal(answer.status, 0);
		assert_int_equal(server->seen->arrived[2], i < 2 ? 1 : 0);
		/* what follows goes over the second connection there ever was */
		assert_int_equal(call(f, http, &first).status, 200);
		assert_int_equal(server->seen->connections, 2);
		assert_int_equal(server->seen->arrived[2], i < 2 ? 1 : 0);
	}
}

/* With several connections at hand libcurl would go from one to the next. */
static void test_a_post_is_not_repeated_over_another_kept_connection(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start_crowd(f, 1);
	struct oauth_http_request first = reusing(f, server, "/", 1);
	struct oauth_http_request second = reusing(f, server, "/drop", 2);
	struct oauth_http *http = http_new(f, NULL);

	first.may_reuse = 0;
	for (int i = 0; i < 3; i++)
		assert_int_equal(call(f, http, &first).status, 200);
	assert_int_equal(server->seen->open, 3);
	assert_string_equal(call(f, http, &second).cause, "dropped");
	assert_int_equal(server->seen->arrived[2], 1);
	assert_int_equal(server->seen->connections, 3);
}

static int answer_and_leave(int fd, struct seen *seen)
{
	answer_ok(fd, seen);
	return 0;
}

static void test_a_connection_that_was_closed_meanwhile_is_not_used(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start(f, answer_and_leave);
	struct oauth_http_request first = reusing(f, server, "/", 1);
	struct oauth_http_request second = reusing(f, server, "/", 2);
	struct oauth_http *http = http_new(f, NULL);

	assert_int_equal(call(f, http, &first).status, 200);
	while (*(volatile int *)&server->seen->open)
		assert_true(work_left_ms(&f->w) > 0);
	assert_int_equal(call(f, http, &second).status, 200);
	assert_int_equal(server->seen->connections, 2);
	assert_int_equal(server->seen->arrived[2], 1);
}

static void test_a_get_is_repeated_over_a_fresh_connection(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start(f, answer_once);
	struct oauth_http_request get = request_to(f, server->port, OAUTH_METHOD_GET);
	struct oauth_http *http = http_new(f, NULL);

	assert_int_equal(call(f, http, &get).status, 200);
	assert_int_equal(call(f, http, &get).status, 200);
	assert_int_equal(server->seen->connections, 2);
	assert_int_equal(server->seen->requests, 3);
}

static void test_gets_share_a_connection(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start(f, answer_ok);
	struct oauth_http_request get = request_to(f, server->port, OAUTH_METHOD_GET);
	struct oauth_http *http = http_new(f, NULL);

	for (int i = 0; i < 3; i++)
		assert_int_equal(call(f, http, &get).status, 200);
	assert_int_equal(server->seen->connections, 1);
	assert_int_equal(server->seen->requests, 3);
}

static void test_nothing_of_a_call_stays_for_the_next(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start(f, answer_ok);
	struct oauth_http_request first = request_to(f, server->port, OAUTH_METHOD_DELETE);
	struct oauth_http_request second = request_to(f, server->port, OAUTH_METHOD_GET);
	struct oauth_http *http = http_new(f, NULL);

	first.scheme = "Bearer";
	first.credential = fixture_secret(f, "first-token");
	call(f, http, &first);
	assert_non_null(strstr(server->seen->last, "Authorization: Bearer first-token"));
	call(f, http, &second);
	assert_true(text_starts(server->seen->last, "GET /token"));
	assert_null(strstr(server->seen->last, "Authorization"));
	assert_null(strstr(server->seen->last, "Content-"));
	assert_null(strstr(server->seen->last, "refresh_token"));
}

static struct sockaddr_storage address_of(const char *text)
{
	struct sockaddr_storage address = {0};
	struct sockaddr_in *in4 = (struct sockaddr_in *)&address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;

	address.ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (address.ss_family == AF_INET)
		assert_int_equal(inet_pton(AF_INET, text, &in4->sin_addr), 1);
	else
		assert_int_equal(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
	return address;
}

static void test_addresses_of_the_internet_are_public(void **state)
{
	static const char *const publics[] = {"8.8.8.8", "136.143.190.1", "100.63.255.255",
		"100.128.0.0", "172.15.0.1", "172.32.0.1", "169.253.0.1", "192.0.1.1",
		"198.17.255.255", "198.20.0.1", "223.255.255.255", "2606:4700::1", "2a00:1450::1",
		"2001:4860::1", "64:ff9b::808:808"};
	static const char *const others[] = {"100.127.255.255", "172.16.0.0", "198.19.255.255",
		"224.0.0.0", "203.0.113.9", "64:ff9b::a00:1", "64:ff9b:1::808:808", "2001::1",
		"4000::1", "1fff::1"};
	static const char *const loopbacks[] = {"127.0.0.1", "127.255.255.255", "::1"};
	struct sockaddr_storage address;

	(void)state;
	for (size_t i = 0; i < sizeof(publics) / sizeof(publics[0]); i++) {
		address = address_of(publics[i]);
		if (!oauth_address_is_public((struct sockaddr *)&address) ||
			oauth_address_is_loopback((struct sockaddr *)&address))
			fail_msg("%s is not public", publics[i]);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		address = address_of(others[i]);
		if (oauth_address_is_public((struct sockaddr *)&address) ||
			oauth_address_is_loopback((struct sockaddr *)&address))
			fail_msg("%s is public", others[i]);
	}
	for (size_t i = 0; i < sizeof(loopbacks) / sizeof(loopbacks[0]); i++) {
		address = address_of(loopbacks[i]);
		assert_true(oauth_address_is_loopback((struct sockaddr *)&address));
		assert_false(oauth_address_is_public((struct sockaddr *)&address));
	}
	address.ss_family = AF_UNIX;
	assert_false(oauth_address_is_public((struct sockaddr *)&address));
	assert_false(oauth_address_is_loopback((struct sockaddr *)&address));
}

static void test_addresses_of_no_provider_are_refused(void **state)
{
	static const char *const hosts[] = {"10.0.0.1", "172.16.0.1", "172.31.255.255",
		"192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "198.18.0.1",
		"224.0.0.1", "255.255.255.255", "[::]", "[fe80::1]", "[fc00::1]", "[fd00::1]",
		"[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[64:ff9b::7f00:1]",
		"[64:ff9b::a9fe:a9fe]", "[2001:db8::1]", "[2002:7f00:1::1]", "[ff02::1]"};
	struct fixture *f = *state;
	struct oauth_http *http = http_new(f, NULL);

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		struct oauth_http_request request = {
			.url = work_printf(&f->w, "https://%s/", hosts[i]),
			.origin = work_printf(&f->w, "https://%s", hosts[i]),
			.total_ms = 2000,
		};
		struct oauth_http_answer answer = call(f, http, &request);

		if (answer.transport != OAUTH_TRANSPORT_NOT_SENT ||
			!text_equal(answer.cause, "address_refused"))
			fail_msg("%s: %s", hosts[i], answer.cause);
	}
}

static void test_loopback_definitions_reach_loopback_alone(void **state)
{
	struct fixture *f = *state;
	struct oauth_http_request request = {.url = "https://8.8.8.8/",
		.origin = "https://8.8.8.8",
		.total_ms = 2000,
		.allow_loopback = 1};
	struct oauth_http_answer answer = call(f, http_new(f, NULL), &request);

	assert_int_equal(answer.transport, OAUTH_TRANSPORT_NOT_SENT);
	assert_string_equal(answer.cause, "address_refused");
}

/* The cause of a request to a host's port 1, where nobody listens. */
static const char *knock(struct fixture *f, const char *host)
{
	struct oauth_http_request request = {
		.url = work_printf(&f->w, "https://%s:1/", host),
		.origin = work_printf(&f->w, "https://%s:1", host),
		.total_ms = 2000,
	};
	struct oauth_http_answer answer = call(f, http_new(f, NULL), &request);

	assert_int_equal(answer.transport, OAUTH_TRANSPORT_NOT_SENT);
	return answer.cause;
}

static void test_hosts_written_as_this_machine_are_tried(void **state)
{
	assert_string_equal(knock(*state, "127.0.0.1"), "connect");
	assert_string_equal(knock(*state, "127.1.2.3"), "connect");
	assert_string_equal(knock(*state, "localhost"), "connect");
}

/* Its owner can let any name point at this machine; libcurl itself lets those below localhost. */
static void test_names_that_lead_to_this_machine_are_refused(void **state)
{
	assert_string_equal(knock(*state, "a.localhost"), "address_refused");
}

static void test_requests_outside_their_rules_are_bugs(void **state)
{
	static const struct {
		const char *url, *origin;
		int allow_loopback;
	} bad[] = {
		{"https://evil.example/token", "https://a.example", 0},
		{"https://a.example:444/token", "https://a.example", 0},
		{"http://a.example/token", "http://a.example", 0},
		{"http://a.example/token", "http://a.example", 1},
		{"http://127.0.0.1:1/token", "http://127.0.0.1:1", 0},
		{"http://127.0.0.1:1/token", "https://127.0.0.1:1", 1},
		{"https://a.example@evil.example/", "https://a.example", 0},
		{"https://a.example.evil.example/", "https://a.example", 0},
		{"file:///etc/passwd", "file://", 0},
		{"https://a.example/", NULL, 0},
	};
	static const struct oauth_pair split = {"X-A", "b\r\nX-B: c"};
	struct fixture *f = *state;
	struct oauth_http *http = http_new(f, NULL);
	struct oauth_http_request request = {
		.url = "https://127.0.0.1:1/", .origin = "https://127.0.0.1:1", .total_ms = 1000};
	struct oauth_http_answer answer;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct oauth_http_request wrong = {.url = bad[i].url,
			.origin = bad[i].origin,
			.total_ms = 1000,
			.allow_loopback = bad[i].allow_loopback};

		if (send_request(f, http, &wrong, &answer) != ERR_BUG)
			fail_msg("%s was tried", bad[i].url);
	}
	request.headers = (struct oauth_pairs){&split, 1};
	assert_int_equal(send_request(f, http, &request, &answer), ERR_BUG);
	request.headers.count = 0;
	request.scheme = "Bearer";
	request.credential = fixture_secret(f, "a\r\nX-B: c");
	assert_int_equal(send_request(f, http, &request, &answer), ERR_BUG);
}

static int answer_busy_until(int fd, struct seen *seen)
{
	time_t later = time(NULL) + (seen->requests == 1          ? 120
					    : seen->requests == 2 ? 10000000
								  : -120);
	char text[256], date[64];

	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime(&later));
	snprintf(text, sizeof(text),
		"HTTP/1.1 503 Busy\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n", date);
	return say(fd, text);
}

static void test_retry_after_is_seconds_or_a_date_and_clamped(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start(f, answer_busy_until);
	struct oauth_http_request get = request_to(f, server->port, OAUTH_METHOD_GET);
	struct oauth_http *http = http_new(f, NULL);

	assert_in_range(call(f, http, &get).retry_after_s, 110, 120);
	assert_int_equal(call(f, http, &get).retry_after_s, OAUTH_HTTP_RETRY_AFTER_MAX_S);
	assert_int_equal(call(f, http, &get).retry_after_s, 0);
}

static void test_proxies_of_the_environment_are_ignored(void **state)
{
	struct fixture *f = *state;
	struct server *server = server_start(f, answer_ok), *proxy = server_start(f, answer_ok);

	setenv("http_proxy", work_printf(&f->w, "http://127.0.0.1:%u", proxy->port), 1);
	setenv("ALL_PROXY", work_printf(&f->w, "http://127.0.0.1:%u", proxy->port), 1);
	assert_int_equal(post(f, server).status, 200);
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
	assert_int_equal(server->seen->requests, 1);
	assert_int_equal(proxy->seen->requests, 0);
}

static int begin_called(void **state)
{
	are_started = 0;
	return fixture_begin(state);
}

static int begin_started(void **state)
{
	are_started = 1;
	return fixture_begin(state);
}

/* Everything twice: called, then started. */
#define TEST(name)                                                                                 \
	cmocka_unit_test_setup_teardown(name, begin_called, fixture_end),                          \
		cmocka_unit_test_setup_teardown(name, begin_started, fixture_end)

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
		TEST(test_a_request_arrives_as_it_was_made),
		TEST(test_delete_carries_its_body),
		TEST(test_a_large_body_arrives_whole),
		TEST(test_redirects_are_not_followed_and_cookies_not_kept),
		TEST(test_endless_body_is_cut_at_the_ceiling),
		TEST(test_a_body_of_exactly_the_ceiling_is_whole),
		TEST(test_slow_drip_ends_at_the_requests_deadline),
		TEST(test_the_works_deadline_counts_too),
		TEST(test_refused_connection_was_not_sent),
		TEST(test_lost_answers_are_ambiguous),
		TEST(test_a_post_is_never_sent_twice_over_a_dead_connection),
		TEST(test_a_post_shares_a_connection_where_it_may),
		TEST(test_a_post_over_a_kept_connection_that_dies_arrives_once),
		TEST(test_a_post_is_not_repeated_over_another_kept_connection),
		TEST(test_a_connection_that_was_closed_meanwhile_is_not_used),
		TEST(test_a_get_is_repeated_over_a_fresh_connection),
		TEST(test_gets_share_a_connection),
		TEST(test_nothing_of_a_call_stays_for_the_next),
		TEST(test_addresses_of_the_internet_are_public),
		TEST(test_addresses_of_no_provider_are_refused),
		TEST(test_loopback_definitions_reach_loopback_alone),
		TEST(test_hosts_written_as_this_machine_are_tried),
		TEST(test_names_that_lead_to_this_machine_are_refused),
		TEST(test_requests_outside_their_rules_are_bugs),
		TEST(test_retry_after_is_seconds_or_a_date_and_clamped),
		TEST(test_proxies_of_the_environment_are_ignored),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
