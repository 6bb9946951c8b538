/*
 * Preloaded into vestal-refresh or vestal-fcgi by tests: kills the process at a named point of a
 * renewal, takes its database away at one, tells it another host name, another time. It follows a
 * renewal from outside, by the library calls of it: the claim, the intent in the spool, the
 * request, the answer in the spool, the commit, the slot that is cleared, the two stores. It knows
 * nothing of what is written where.
 *
 *   cc -shared -fPIC -o kill_point.so kill_point.c
 *   TEST_KILL=K1 ... K12  TEST_CUT=K2 or K9  TEST_HOST=name  TEST_CLOCK_S=seconds
 *
 * TEST_KILL and TEST_CUT may name a statement instead: before it is sent; and after it was, the
 * first time. TEST_CUT=commit: after a transaction was committed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* How far the renewal has come; each stage is entered once. */
enum stage {
	START,
	CLAIM_SENT,
	CLAIMED,
	INTENDED, /* the intent is written */
	INTENT_DURABLE,
	ASKED,    /* a byte went to the provider */
	ANSWERED, /* the answer is written */
	ANSWER_DURABLE,
	SETTLING, /* the commit is on its way */
	SETTLED,
	CLEARED,
	STORED_ONE /* of the two other stores */
};

static enum stage stage;
static int is_cut;

static int is_wanted(const char *variable, const char *point)
{
	const char *wanted = getenv(variable);

	return wanted && strcmp(wanted, point) == 0;
}

static int is_point(const char *name)
{
	return is_wanted("TEST_KILL", name);
}

static void die_at(const char *point)
{
	if (is_point(point))
		kill(getpid(), SIGKILL);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* --- the database: K1, K2, K9, K10 */

struct pg_conn;
struct pg_result;

int PQsocket(const struct pg_conn *connection);

/* The server has done what it was told, and its answer never arrives: nobody knows the outcome. */
static void cut_at(const char *point, const struct pg_conn *connection)
{
	struct pollfd fd = {.fd = REAL(PQsocket)(connection), .events = POLLIN};

	if (!is_wanted("TEST_CUT", point))
		return;
	poll(&fd, 1, 10000);
	shutdown(fd.fd, SHUT_RD);
	while (recv(fd.fd, (char[4096]){0}, 4096, MSG_DONTWAIT) > 0)
		;
}

int PQsendQueryPrepared(struct pg_conn *connection, const char *statement, int n,
	const char *const *values, const int *lengths, const int *formats, int format);
struct pg_result *PQgetResult(struct pg_conn *connection);

int PQsendQueryPrepared(struct pg_conn *connection, const char *statement, int n,
	const char *const *values, const int *lengths, const int *formats, int format)
{
	int is_claim = strcmp(statement, "renewal_claim") == 0 && stage == START;
	int is_commit = strcmp(statement, "renewal_renewed") == 0 && stage == ANSWER_DURABLE;
	int sent;

	die_at(statement);
	if (is_claim)
		die_at("K1");
	sent = REAL(PQsendQueryPrepared)(
		connection, statement, n, values, lengths, formats, format);
	if (is_claim) {
		stage = CLAIM_SENT;
		cut_at("K2", connection);
	} else if (is_commit) {
		stage = SETTLING;
		die_at("K9");
		cut_at("K9", connection);
	}
	if (is_wanted("TEST_CUT", statement) && !is_cut) {
		is_cut = 1;
		cut_at(statement, connection);
	}
	return sent;
}

int PQsendQuery(struct pg_conn *connection, const char *text);

int PQsendQuery(struct pg_conn *connection, const char *text)
{
	int sent = REAL(PQsendQuery)(connection, text);

	if (strcmp(text, "commit") == 0 && is_wanted("TEST_CUT", "commit") && !is_cut) {
		is_cut = 1;
		cut_at("commit", connection);
	}
	return sent;
}

struct pg_result *PQgetResult(struct pg_conn *connection)
{
	struct pg_result *result = REAL(PQgetResult)(connection);

	/* The end of the results says that the statement's commit is durable. */
	if (!result && stage == CLAIM_SENT) {
		stage = CLAIMED;
		die_at("K2");
	} else if (!result && stage == SETTLING) {
		stage = SETTLED;
		die_at("K10");
	}
	return result;
}

/* --- the spool: K3, K6, K7, K8, K11 */

static int is_spool(int fd)
{
	char link[64], path[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return 0;
	path[n] = '\0';
	return strstr(path, "/spool/") != NULL;
}

static void before_spool_write(int fd, const void *bytes, size_t n, off_t offset)
{
	if (stage != ASKED)
		return;
	die_at("K6");
	if (is_point("K7")) {
		ssize_t half = REAL(pwrite)(fd, bytes, n / 2, offset);

		(void)half;
		die_at("K7");
	}
}

static void after_spool_write(void)
{
	if (stage == CLAIMED)
		stage = INTENDED;
	else if (stage == ASKED)
		stage = ANSWERED;
	else if (stage == SETTLED) {
		stage = CLEARED;
		die_at("K11");
	}
}

static void after_spool_sync(void)
{
	if (stage == INTENDED) {
		stage = INTENT_DURABLE;
		die_at("K3");
	} else if (stage == ANSWERED) {
		stage = ANSWER_DURABLE;
		die_at("K8");
	}
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
	int spool = is_spool(fd);
	ssize_t written;

	if (spool)
		before_spool_write(fd, bytes, n, offset);
	written = REAL(pwrite)(fd, bytes, n, offset);
	if (spool && written > 0)
		after_spool_write();
	return written;
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off_t offset)
{
	return pwrite(fd, bytes, n, offset);
}

int fdatasync(int fd)
{
	int failed = REAL(fdatasync)(fd);

	if (!failed && is_spool(fd))
		after_spool_sync();
	return failed;
}

int fsync(int fd)
{
	int failed = REAL(fsync)(fd);

	if (!failed && is_spool(fd))
		after_spool_sync();
	return failed;
}

/* --- the provider: K4. K5 is killed from outside, while the provider holds its answer back. */

ssize_t send(int fd, const void *bytes, size_t n, int flags)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof(peer);

	if (stage == INTENT_DURABLE && getpeername(fd, (struct sockaddr *)&peer, &size) == 0 &&
		peer.ss_family == AF_INET) {
		die_at("K4");
		stage = ASKED;
	}
	return REAL(send)(fd, bytes, n, flags);
}

/* --- the stores outside the database: K12 */

static int is_store(const char *path)
{
	size_t n = strlen(path);

	return n > 4 && (strcmp(path + n - 4, ".vst") == 0 || strcmp(path + n - 4, ".env") == 0);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	if (is_store(to) && stage == STORED_ONE)
		die_at("K12");
	if (is_store(to) && stage >= SETTLED)
		stage = STORED_ONE;
	return REAL(renameat)(from_fd, from, to_fd, to);
}

int rename(const char *from, const char *to)
{
	return renameat(-100 /* AT_FDCWD */, from, -100, to);
}

/* --- another host, another time */

int gethostname(char *name, size_t n)
{
	const char *other = getenv("TEST_HOST");

	if (!other)
		return REAL(gethostname)(name, n);
	snprintf(name, n, "%s", other);
	return 0;
}

int uname(struct utsname *name)
{
	int failed = REAL(uname)(name);
	const char *other = getenv("TEST_HOST");

	if (!failed && other)
		snprintf(name->nodename, sizeof(name->nodename), "%s", other);
	return failed;
}

static time_t skew(void)
{
	const char *seconds = getenv("TEST_CLOCK_S");

	return seconds ? (time_t)atoll(seconds) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int failed = REAL(clock_gettime)(clock, now);

	if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += skew();
	return failed;
}

time_t time(time_t *at)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (at)
		*at = now.tv_sec;
	return now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	int failed = REAL(gettimeofday)(now, zone);

	if (!failed)
		now->tv_sec += skew();
	return failed;
}
