/* Connections with TLS that are kept, and sessions that are resumed, against the openssl program as
 * a server. */
#include "http_server.h"

#include "base/text.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))

/* What a server that keeps its connection saw, shared with the test. */
struct sight {
	int handshakes, requests;
};

struct tls_server {
	pid_t pid, clerk;
	FILE *out, *in;
	unsigned port;
	struct sight *sight;
};

static char folder[64];

/* Stands before the C library's, for libcurl too: the name of the certificate leads to this
 * machine. */
SHOWN int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
	struct addrinfo **result)
{
	int (*original)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	*(void **)&original = dlsym(RTLD_NEXT, "getaddrinfo");
	return original(
		text_equal(node, "provider.test") ? "127.0.0.1" : node, service, hints, result);
}

static void stop(void *handle)
{
	struct tls_server *server = handle;

	if (server->clerk) {
		kill(server->clerk, SIGKILL);
		waitpid(server->clerk, NULL, 0);
	}
	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	fclose(server->out);
	fclose(server->in);
}

/* Runs the server with an option, on a free port. */
static struct tls_server *start_tls(struct fixture *f, const char *option)
{
	struct tls_server *server = work_alloc(&f->w, sizeof(*server));
	const char *certificate = work_printf(&f->w, "%s/provider.pem", folder);
	int out[2], in[2];
	char line[256] = "";

	*server = (struct tls_server){0};
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	server->pid = fork();
	if (!server->pid) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		execlp("openssl", "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert",
			certificate, "-key", work_printf(&f->w, "%s/provider.key", folder), option,
			(char *)NULL);
		_exit(127);
	}
	close(out[1]);
	close(in[0]);
	server->out = fdopen(out[0], "r");
	server->in = fdopen(in[1], "w");
	work_defer(&f->w, stop, server);
	while (fgets(line, sizeof(line), server->out) && !text_starts(line, "ACCEPT"))
		;
	assert_int_equal(sscanf(line, "ACCEPT 127.0.0.1:%u", &server->port), 1);
	return server;
}

/* Reads what the server hears, and answers each request on the same connection. */
static void answer_all(struct tls_server *server)
{
	char line[1024];

	while (fgets(line, sizeof(line), server->out)) {
		if (strstr(line, "BEGIN SSL SESSION"))
			server->sight->handshakes++;
		if (!text_equal(line, "\r\n"))
			continue;
		server->sight->requests++;
		fputs("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", server->in);
		fflush(server->in);
	}
}

static struct tls_server *start_keeping(struct fixture *f)
{
	struct tls_server *server = start_tls(f, "-no_ign_eof");

	server->sight = mmap(NULL, sizeof(*server->sight), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(server->sight != MAP_FAILED);
	server->clerk = fork();
	if (!server->clerk) {
		answer_all(server);
		_exit(0);
	}
	return server;
}

static struct oauth_http_request post_to(struct fixture *f, const struct tls_server *server)
{
	struct oauth_http_request request = request_to(f, server->port, OAUTH_METHOD_POST);

	request.url = request.origin = work_printf(&f->w, "https://provider.test:%u", server->port);
	request.may_reuse = 1;
	return request;
}

static struct oauth_http *trusting(struct fixture *f)
{
	return http_new(f, work_printf(&f->w, "%s/provider.pem", folder));
}

static void test_a_kept_connection_saves_the_handshake(void **state)
{
	struct fixture *f = *state;
	struct tls_server *server = start_keeping(f);
	struct oauth_http_request request = post_to(f, server);
	struct oauth_http *http = trusting(f);
	struct oauth_http_answer answer;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(oauth_http_call(&f->w, http, &request, &answer), ERR_OK);
		assert_int_equal(answer.status, 200);
	}
	assert_int_equal(server->sight->requests, 3);
	assert_int_equal(server->sight->handshakes, 1);
}

static void test_a_kept_connection_leads_no_request_where_it_may_not_go(void **state)
{
	struct fixture *f = *state;
	struct tls_server *server = start_keeping(f);
	struct oauth_http_request request = post_to(f, server);
	struct oauth_http *http = trusting(f);
	struct oauth_http_answer answer;

	assert_int_equal(oauth_http_call(&f->w, http, &request, &answer), ERR_OK);
	assert_int_equal(answer.status, 200);
	request.allow_loopback = 0;
	assert_int_equal(oauth_http_call(&f->w, http, &request, &answer), ERR_OK);
	assert_int_equal(answer.transport, OAUTH_TRANSPORT_NOT_SENT);
	assert_string_equal(answer.cause, "address_refused");
	assert_int_equal(server->sight->requests, 1);
}

/* The server's page tells whether the session of its connection was new. */
static void test_all_share_the_sessions(void **state)
{
	struct fixture *f = *state;
	struct tls_server *server = start_tls(f, "-www");
	struct server *crowd = server_start_crowd(f, 2);
	struct oauth_http_request request = post_to(f, server);
	struct oauth_http_request other = request_to(f, crowd->port, OAUTH_METHOD_POST);
	struct oauth_http *http = trusting(f);
	struct oauth_http_answer answer, others;

	request.method = OAUTH_METHOD_GET;
	request.body = NULL;
	assert_int_equal(oauth_http_call(&f->w, http, &request, &answer), ERR_OK);
	assert_non_null(strstr(answer.body.data, "\nNew, TLSv1.3"));
	/* takes the place of the first, so that another one makes the connection */
	assert_int_equal(oauth_http_start(&f->w, http, &other, &others, &others), ERR_OK);
	assert_int_equal(oauth_http_call(&f->w, http, &request, &answer), ERR_OK);
	assert_non_null(strstr(answer.body.data, "\nReused, TLSv1.3"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)

static int setup(void **state)
{
	char command[512];

	snprintf(folder, sizeof(folder), "/tmp/vestal-http-tls-XXXXXX");
	if (!mkdtemp(folder) || oauth_http_init())
		return -1;
	snprintf(command, sizeof(command),
		"cd '%s' && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
		"-keyout provider.key -out provider.pem -subj /CN=provider.test "
		"-addext subjectAltName=DNS:provider.test -days 2 >/dev/null 2>&1",
		folder);
	return system(command) || fixture_setup(state);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int failed = system(arena_printf(&f->arena, "rm -r '%s'", folder));

	oauth_http_cleanup();
	return fixture_teardown(state) || failed;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_kept_connection_saves_the_handshake),
		TEST(test_a_kept_connection_leads_no_request_where_it_may_not_go),
		TEST(test_all_share_the_sessions),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
