/*
 * Accepting requests. It decides how a signal ends a worker without losing a request: SIGTERM is
 * let in only while the worker waits, so one that is busy finishes, and one that is idle wakes at
 * once.
 */
#include "web/accept.h"

#include "base/log.h"
#include "base/secret.h"
#include "base/text.h"

#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define LISTENING 0
#define READ_LIMIT_S 20
#define WRITE_LIMIT_S 10
#define FAILED_ACCEPT_NS 50000000L

static FCGX_Request request;
static sigset_t while_waiting;
static volatile sig_atomic_t stopping;

static void on_stop(int signal_number)
{
	(void)signal_number;
	stopping = 1;
}

static int install_signals(void)
{
	struct sigaction stop = {.sa_handler = on_stop}, ignore = {.sa_handler = SIG_IGN};
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	return sigprocmask(SIG_BLOCK, &blocked, &while_waiting) == 0 &&
	       sigdelset(&while_waiting, SIGTERM) == 0 && sigdelset(&while_waiting, SIGINT) == 0 &&
	       sigaction(SIGTERM, &stop, NULL) == 0 && sigaction(SIGINT, &stop, NULL) == 0 &&
	       sigaction(SIGPIPE, &ignore, NULL) == 0;
}

enum err web_accept_init(struct work *w)
{
	int listening = 0;
	socklen_t n = sizeof(listening);

	if (getsockopt(LISTENING, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) < 0 || !listening)
		return work_fail(w, ERR_CONFIG, "standard input must be a listening socket");
	/* Many workers share the socket: whoever comes second must not wait inside accept(), deaf
	 * to signals. */
	if (fcntl(LISTENING, F_SETFL, fcntl(LISTENING, F_GETFL) | O_NONBLOCK) < 0)
		return work_fail(w, ERR_CONFIG, "the listening socket cannot be used");
	if (!install_signals() || FCGX_Init() != 0 ||
		FCGX_InitRequest(&request, LISTENING, FCGI_FAIL_ACCEPT_ON_INTR) != 0)
		return work_fail(w, ERR_CONFIG, "libfcgi could not be started");
	return ERR_OK;
}

/* ppoll() looks at the socket first: under a backlog that never empties a blocked signal would
 * never be let in. */
static int must_stop(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

enum web_accepted web_accept_wait(void)
{
	struct pollfd fd = {.fd = LISTENING, .events = POLLIN};
	int ready;

	if (stopping || must_stop())
		return WEB_STOPPED;
	ready = ppoll(&fd, 1, NULL, &while_waiting);
	if (stopping && ready <= 0)
		return WEB_STOPPED;
	return ready > 0 ? WEB_ACCEPTED : WEB_AGAIN;
}

static const char *param(struct work *w, const char *name)
{
	const char *value = FCGX_GetParam(name, request.envp);

	return value && *value ? work_strdup(w, value) : NULL;
}

/* As many bytes as were announced, and one more to see that there are no others. */
static void read_body(struct work *w, struct web_raw *raw)
{
	const char *announced = FCGX_GetParam("CONTENT_LENGTH", request.envp);
	int64_t length = 0;
	char *body;
	int n;

	if (!announced || !*announced)
		return;
	if (!text_to_int(announced, 0, (int64_t)WEB_BODY_MAX_BYTES, &length)) {
		raw->body_too_large = 1;
		return;
	}
	body = work_alloc(w, (size_t)length + 2);
	n = FCGX_GetStr(body, (int)length + 1, request.in);
	raw->body_too_large = n > length;
	raw->body = body;
	raw->body_bytes = n > 0 && n <= length ? (size_t)n : 0;
	body[raw->body_bytes] = '\0';
}

static void read_params(struct work *w, struct web_raw *raw)
{
	*raw = (struct web_raw){
		.method = param(w, "REQUEST_METHOD"),
		.uri = param(w, "REQUEST_URI"),
		.content_type = param(w, "CONTENT_TYPE"),
		.address = param(w, "REMOTE_ADDR"),
		.forwarded = param(w, "VESTAL_FORWARDED"),
		.request_id = param(w, "VESTAL_REQUEST_ID"),
		.authorization = param(w, "HTTP_AUTHORIZATION"),
		.accept = param(w, "HTTP_ACCEPT"),
		.if_none_match = param(w, "HTTP_IF_NONE_MATCH"),
		.user_agent = param(w, "HTTP_USER_AGENT"),
		.origin = param(w, "HTTP_ORIGIN"),
		.cookie = param(w, "HTTP_COOKIE"),
		.csrf = param(w, "HTTP_X_VESTAL_CSRF"),
		.as_it_is = param(w, "VESTAL_AS_IT_IS") != NULL,
	};
}

/* Another worker was faster (EAGAIN), the caller went away: nothing to speak of. Anything else is
 * worth a line. */
static void note_failure(int error)
{
	if (error == EAGAIN || error == EINTR || error == ECONNABORTED)
		return;
	log_event(LOG_WARN, "accept.failed", LOG_INT("errno", error));
	nanosleep(&(struct timespec){0, FAILED_ACCEPT_NS}, NULL);
}

/* A reader that takes nothing must not hold a worker: nginx keeps far more of an answer than any
 * token needs. */
static void limit_writing(void)
{
	const struct timeval limit = {.tv_sec = WRITE_LIMIT_S};

	setsockopt(request.ipcFd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

enum web_accepted web_accept_read(struct work *w, struct web_raw *raw)
{
	int result;

	alarm(READ_LIMIT_S); /* a peer that sends half a request takes this worker with it, and the
				next one starts */
	result = FCGX_Accept_r(&request);
	if (result < 0) {
		alarm(0);
		note_failure(-result);
		return WEB_AGAIN;
	}
	read_params(w, raw);
	read_body(w, raw);
	alarm(0);
	limit_writing();
	if (!raw->body_too_large && FCGX_GetError(request.in)) {
		/* libfcgi takes the end of the connection for the end of the request; half of one
		 * must have no effect. */
		web_accept_abort();
		return WEB_AGAIN;
	}
	return WEB_ACCEPTED;
}

int web_accept_write(const void *bytes, size_t n)
{
	return FCGX_PutStr(bytes, (int)n, request.out) == (int)n;
}

/* What libfcgi read and wrote holds credentials, codes and tokens, and libfcgi frees it as it is.
 */
static void wipe(void)
{
	for (char **param = request.envp; param && *param; param++)
		secret_wipe(*param, strlen(*param));
	if (request.in && request.in->stopUnget && request.in->stop > request.in->stopUnget)
		secret_wipe(
			request.in->stopUnget, (size_t)(request.in->stop - request.in->stopUnget));
	if (request.out && FCGX_FFlush(request.out) == 0 && request.out->stop > request.out->wrNext)
		secret_wipe(request.out->wrNext, (size_t)(request.out->stop - request.out->wrNext));
}

void web_accept_finish(void)
{
	wipe();
	request.keepConnection = 0; /* waiting on a kept one would bind this whole process */
	FCGX_Finish_r(&request);
}

void web_accept_abort(void)
{
	wipe();
	FCGX_Free(&request, 1);
}
