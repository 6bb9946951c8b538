/*
 * A token endpoint that takes its time: every POST is answered --latency-ms after it arrived, with
 * a token of its own. It decides nothing about who asks or with what; it counts. GET /stats tells
 * the counts, DELETE /stats starts them anew. One thread and few system calls a request, because
 * it shares the machine with what is measured. Built for the benchmark alone.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096 /* by descriptor */
#define REQUEST_MAX_BYTES ((size_t)8192)
#define EVENTS 256
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

/* Each asks one thing at a time. serial: a descriptor is used again, an answer never goes to the
 * one who has it next. */
struct connection {
	uint64_t serial;
	size_t n;
	int is_open, is_waiting;
	char request[REQUEST_MAX_BYTES];
};

/* All wait equally long, so the one who came first is answered first. */
struct turn {
	int64_t due_ns;
	uint64_t serial;
	int fd;
};

static struct connection *connections[CONNECTIONS_MAX];
static struct turn turns[CONNECTIONS_MAX];
static size_t first_turn, waiting, peak;
static uint64_t requests, answered, lost, serials, tokens, seed;
static int64_t latency_ns = 100 * NS_PER_MS;
static int epoll_fd, listening;

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void fail(const char *what)
{
	fprintf(stderr, "slow_provider: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

/* --- answers --------------------------------------------------------------------------------- */

/* "0" stands for the token's digits. Source: zoho.com/accounts/protocol/oauth, "Refresh Access
 * Tokens". */
#define DIGITS "00000000000000000000000000000000"
#define BODY                                                                                       \
	"{\"access_token\":\"1000." DIGITS "." DIGITS "\","                                        \
	"\"scope\":\"ZohoCRM.modules.ALL ZohoCRM.users.READ\","                                    \
	"\"api_domain\":\"https://www.zohoapis.com\",\"token_type\":\"Bearer\","                   \
	"\"expires_in\":3600}"
#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\n"

static char answer[512];
static size_t answer_bytes;

static void write_digits(char *at, uint64_t number)
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 15; i >= 0; i--, number >>= 4)
		at[i] = hex[number & 15];
}

/* No two numbers give the same. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number
 * generators", 2014, section 5. */
static uint64_t mix(uint64_t number)
{
	number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
	return number ^ number >> 31;
}

static void compose_answer(void)
{
	answer_bytes = (size_t)snprintf(
		answer, sizeof(answer), HEAD "Content-Length: %zu\r\n\r\n" BODY, sizeof(BODY) - 1);
}

static void next_token(void)
{
	char *digits = strstr(answer, "1000.") + strlen("1000.");

	tokens++;
	write_digits(digits, seed);
	write_digits(digits + 16, mix(tokens));
	write_digits(digits + 33, mix(seed + tokens));
	write_digits(digits + 49, tokens);
}

static void send_stats(int fd)
{
	struct rusage used;
	char body[256], text[384];
	int n;

	getrusage(RUSAGE_SELF, &used);
	n = snprintf(body, sizeof(body),
		"{\"requests\":%" PRIu64 ",\"answered\":%" PRIu64 ",\"lost\":%" PRIu64
		",\"in_flight\":%zu,\"peak_in_flight\":%zu,\"cpu_us\":%lld}\n",
		requests, answered, lost, waiting, peak,
		(long long)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 +
			used.ru_utime.tv_usec + used.ru_stime.tv_usec);
	n = snprintf(text, sizeof(text), HEAD "Content-Length: %d\r\n\r\n%s", n, body);
	(void)!send(fd, text, (size_t)n, MSG_NOSIGNAL);
}

/* --- requests -------------------------------------------------------------------------------- */

static void forget(int fd)
{
	connections[fd]->is_open = 0;
	close(fd); /* which takes it from the epoll, too */
}

static void take_turn(int fd)
{
	struct turn *turn = &turns[(first_turn + waiting) % CONNECTIONS_MAX];

	if (waiting == CONNECTIONS_MAX) {
		errno = ENOBUFS;
		fail("the queue");
	}
	*turn = (struct turn){now_ns() + latency_ns, connections[fd]->serial, fd};
	connections[fd]->is_waiting = 1;
	requests++;
	waiting++;
	peak = waiting > peak ? waiting : peak;
}

/* Bytes of the whole request, 0 while some are missing. The head is not parsed beyond its length.
 */
static size_t length_of(const struct connection *c)
{
	static const char end[] = "\r\n\r\n", field[] = "\r\ncontent-length:";
	const char *body = memmem(c->request, c->n, end, strlen(end));
	size_t head, length = 0;

	if (!body)
		return 0;
	head = (size_t)(body - c->request) + strlen(end);
	for (const char *at = c->request; at < body; at++)
		if (*at == '\r' && strncasecmp(at, field, strlen(field)) == 0)
			length = strtoul(at + strlen(field), NULL, 10);
	return c->n >= head + length ? head + length : 0;
}

static void start_anew(void)
{
	requests = answered = lost = 0;
	peak = waiting;
}

static void serve(int fd)
{
	struct connection *c = connections[fd];
	size_t length;

	while (!c->is_waiting && (length = length_of(c))) {
		if (memcmp(c->request, "POST ", 5) == 0)
			take_turn(fd);
		else {
			if (memcmp(c->request, "DELETE ", 7) == 0)
				start_anew();
			send_stats(fd);
		}
		c->n -= length;
		memmove(c->request, c->request + length, c->n);
	}
}

static void receive(int fd)
{
	struct connection *c = connections[fd];
	ssize_t got = recv(fd, c->request + c->n, REQUEST_MAX_BYTES - 1 - c->n, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		forget(fd);
		return;
	}
	c->n += (size_t)got;
	c->request[c->n] = '\0';
	serve(fd);
	if (c->n == REQUEST_MAX_BYTES - 1)
		forget(fd);
}

static void give(const struct turn *turn)
{
	struct connection *c = connections[turn->fd];

	if (!c->is_open || c->serial != turn->serial) {
		lost++;
		return;
	}
	next_token();
	c->is_waiting = 0;
	if (send(turn->fd, answer, answer_bytes, MSG_NOSIGNAL | MSG_DONTWAIT) ==
		(ssize_t)answer_bytes) {
		answered++;
		serve(turn->fd);
		return;
	}
	lost++;
	forget(turn->fd);
}

static void give_due(void)
{
	int64_t now = now_ns();

	while (waiting && turns[first_turn].due_ns <= now) {
		const struct turn turn = turns[first_turn];

		first_turn = (first_turn + 1) % CONNECTIONS_MAX;
		waiting--;
		give(&turn);
	}
}

/* --- connections ----------------------------------------------------------------------------- */

static void accept_all(void)
{
	int fd, on = 1;

	while ((fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

		if (fd >= CONNECTIONS_MAX) {
			close(fd);
			continue;
		}
		if (!connections[fd])
			connections[fd] = calloc(1, sizeof(**connections));
		if (!connections[fd] || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
			fail("a connection");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		connections[fd]->serial = ++serials;
		connections[fd]->is_open = 1;
		connections[fd]->is_waiting = 0;
		connections[fd]->n = 0;
	}
}

static void listen_on(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN};
	socklen_t n = sizeof(address);
	int on = 1;

	listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	event.data.fd = listening;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (listening < 0 || epoll_fd < 0 ||
		setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		bind(listening, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(listening, CONNECTIONS_MAX) < 0 ||
		getsockname(listening, (struct sockaddr *)&address, &n) < 0 ||
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listening, &event) < 0)
		fail("listen");
	printf("listening on %d\n", ntohs(address.sin_port));
	fflush(stdout);
}

/* Until something arrives, or somebody's time has come. */
static int wait_for(struct epoll_event *events)
{
	int64_t left_ns = waiting ? turns[first_turn].due_ns - now_ns() : 0;
	struct timespec left;

	left_ns = left_ns > 0 ? left_ns : 0;
	left = (struct timespec){left_ns / NS_PER_S, left_ns % NS_PER_S};
	return epoll_pwait2(epoll_fd, events, EVENTS, waiting ? &left : NULL, NULL);
}

static int read_options(int argc, char **argv)
{
	static const struct option options[] = {{"port", required_argument, NULL, 'p'},
		{"latency-ms", required_argument, NULL, 'l'}, {0}};
	int port = 0, option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		long number = option == '?' ? -1 : strtol(optarg, NULL, 10);

		if (number < 0 || number > UINT16_MAX) {
			fputs("usage: slow_provider [--port P] [--latency-ms N]\n", stderr);
			exit(64);
		}
		if (option == 'p')
			port = (int)number;
		else
			latency_ns = number * NS_PER_MS;
	}
	return port;
}

int main(int argc, char **argv)
{
	const struct rlimit files = {CONNECTIONS_MAX, CONNECTIONS_MAX};
	struct epoll_event events[EVENTS];
	int n;

	listen_on(read_options(argc, argv));
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
		getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		fail("start");
	compose_answer();
	for (;;) {
		n = wait_for(events);
		if (n < 0 && errno != EINTR)
			fail("wait");
		for (int i = 0; i < n; i++)
			if (events[i].data.fd == listening)
				accept_all();
			else
				receive(events[i].data.fd);
		give_due();
	}
}
