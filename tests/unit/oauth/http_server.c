/* The servers and requests that the tests of the way out share. */
#include "http_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int say(int fd, const char *text)
{
	return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* How long the request in text is with its body; 0 while its head is not whole. */
static size_t request_len(const char *text)
{
	const char *end = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");

	return end ? (size_t)(end + 4 - text) + (length ? (size_t)atoi(length + 16) : 0) : 0;
}

static void note(struct seen *seen, const char *text)
{
	const char *id = strstr(text, "\r\n\r\nid=");

	snprintf(seen->last, sizeof(seen->last), "%s", text);
	seen->requests++;
	if (id)
		seen->arrived[atoi(id + 7) % IDS_MAX]++;
}

/* Reads a request with its body. Returns whether there was one. */
static int read_request(int fd, struct seen *seen)
{
	char text[REQUEST_MAX_BYTES] = "";
	size_t len = 0, want = 0;
	ssize_t n;

	while (!want || len < want) {
		n = recv(fd, text + len, sizeof(text) - 1 - len, 0);
		if (n <= 0)
			return 0;
		len += (size_t)n;
		text[len] = '\0';
		want = request_len(text);
	}
	note(seen, text);
	return 1;
}

static void serve(int listener, int (*answer)(int fd, struct seen *seen), struct seen *seen)
{
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			_exit(1);
		seen->connections++;
		seen->open++;
		while (read_request(fd, seen) && answer(fd, seen))
			;
		close(fd);
		seen->open--;
	}
}

int listen_on_loopback(unsigned *port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
	assert_int_equal(listen(fd, IDS_MAX), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

static void stop(void *handle)
{
	struct server *server = handle;

	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	munmap(server->seen, sizeof(*server->seen));
}

/* Forks a server. Returns NULL in its process, which has the listener. */
static struct server *fork_server(struct fixture *f, int *listener, struct seen **seen)
{
	struct server *server = work_alloc(&f->w, sizeof(*server));

	*listener = listen_on_loopback(&server->port);
	*seen = mmap(
		NULL, sizeof(**seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(*seen != MAP_FAILED);
	server->seen = *seen;
	server->pid = fork();
	assert_true(server->pid >= 0);
	if (!server->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		return NULL;
	}
	close(*listener);
	work_defer(&f->w, stop, server);
	return server;
}

struct server *server_start(struct fixture *f, int (*answer)(int fd, struct seen *seen))
{
	int listener;
	struct seen *seen;
	struct server *server = fork_server(f, &listener, &seen);

	if (!server)
		serve(listener, answer, seen);
	return server;
}

/* One connection of a crowd. */
struct guest {
	int fd; /* -1: none */
	int waits, is_endless;
	size_t len;
	char text[REQUEST_MAX_BYTES];
};

struct crowd {
	struct guest guests[IDS_MAX];
	struct pollfd polls[IDS_MAX + 1];
	struct seen *seen;
	int hold, came;
};

static void leave(struct crowd *crowd, struct guest *guest)
{
	close(guest->fd);
	guest->fd = -1;
	crowd->seen->open--;
}

static void enter(struct crowd *crowd, int fd)
{
	struct guest *guest = crowd->guests;

	while (guest->fd >= 0)
		guest++;
	*guest = (struct guest){.fd = fd};
	crowd->seen->connections++;
	crowd->seen->open++;
}

static void answer_guest(struct guest *guest)
{
	const char *body = strstr(guest->text, "\r\n\r\n") + 4;
	char answer[REQUEST_MAX_BYTES + 64];

	snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
		strlen(body), body);
	guest->waits = 0;
	guest->len = 0;
	say(guest->fd, answer);
}

static void pour(struct crowd *crowd, struct guest *guest)
{
	char page[4096];

	memset(page, 'x', sizeof(page));
	if (send(guest->fd, page, sizeof(page), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		leave(crowd, guest);
}

static void hear(struct crowd *crowd, struct guest *guest)
{
	ssize_t n = recv(guest->fd, guest->text + guest->len, sizeof(guest->text) - 1 - guest->len,
		MSG_DONTWAIT);
	static const struct linger at_once = {1, 0};
	size_t want;

	if (n <= 0) {
		leave(crowd, guest);
		return;
	}
	guest->len += (size_t)n;
	guest->text[guest->len] = '\0';
	if (strstr(guest->text, " /reset")) {
		setsockopt(guest->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		leave(crowd, guest);
		return;
	}
	want = request_len(guest->text);
	if (!want || guest->len < want)
		return;
	note(crowd->seen, guest->text);
	if (strstr(guest->text, " /drop"))
		leave(crowd, guest);
	else if (strstr(guest->text, " /endless"))
		guest->is_endless = say(guest->fd, "HTTP/1.1 200 OK\r\n\r\n");
	else if (!strstr(guest->text, " /hang")) {
		guest->waits = 1;
		crowd->came++;
	}
}

static void serve_crowd(struct crowd *crowd, int listener)
{
	for (;;) {
		crowd->polls[IDS_MAX] = (struct pollfd){listener, POLLIN, 0};
		for (int i = 0; i < IDS_MAX; i++)
			crowd->polls[i] = (struct pollfd){crowd->guests[i].fd,
				crowd->guests[i].is_endless ? POLLOUT : POLLIN, 0};
		if (poll(crowd->polls, IDS_MAX + 1, -1) < 0)
			_exit(1);
		for (int i = 0; i < IDS_MAX; i++)
			if (crowd->polls[i].revents && crowd->guests[i].is_endless)
				pour(crowd, &crowd->guests[i]);
			else if (crowd->polls[i].revents)
				hear(crowd, &crowd->guests[i]);
		for (int i = 0; i < IDS_MAX && crowd->came >= crowd->hold; i++)
			if (crowd->guests[i].fd >= 0 && crowd->guests[i].waits)
				answer_guest(&crowd->guests[i]);
		if (crowd->polls[IDS_MAX].revents)
			enter(crowd, accept(listener, NULL, NULL));
	}
}

struct server *server_start_crowd(struct fixture *f, int hold)
{
	int listener;
	struct seen *seen;
	struct server *server = fork_server(f, &listener, &seen);
	struct crowd *crowd;

	if (server)
		return server;
	crowd = calloc(1, sizeof(*crowd));
	if (!crowd)
		_exit(1);
	crowd->seen = seen;
	crowd->hold = hold;
	for (int i = 0; i < IDS_MAX; i++)
		crowd->guests[i].fd = -1;
	serve_crowd(crowd, listener);
	return NULL;
}

static void http_release(void *handle)
{
	oauth_http_free(handle);
}

struct oauth_http *http_new(struct fixture *f, const char *ca_file)
{
	struct oauth_http *http = oauth_http_new(ca_file);

	assert_non_null(http);
	work_defer(&f->w, http_release, http);
	return http;
}

struct oauth_http_request request_to(struct fixture *f, unsigned port, enum oauth_method method)
{
	return (struct oauth_http_request){
		.method = method,
		.url = work_printf(&f->w, "http://127.0.0.1:%u/token?x=1", port),
		.origin = work_printf(&f->w, "http://127.0.0.1:%u", port),
		.content_type = "application/x-www-form-urlencoded",
		.body = method == OAUTH_METHOD_GET ? NULL : fixture_secret(f, "refresh_token=r"),
		.total_ms = 5000,
		.allow_loopback = 1,
	};
}
