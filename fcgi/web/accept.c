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
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define LISTENING 0
#define READ_LIMIT_S 20
#define WRITE_LIMIT_S 10
#define FAILED_ACCEPT_NS 50000000L

static FCGX_Request request;
static int arrivals = -1; /* epoll's, with the listening socket alone in it */
static sigset_t while_waiting;
static volatile sig_atomic_t stopping;

/* Where libfcgi keeps what it read and wrote, as it was when the request began: its own marks move,
 * and a failed write or a closed stream leaves none. */
static struct {
	unsigned char *params, *answer;
	size_t params_bytes, answer_bytes;
} held;

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

/* EPOLLEXCLUSIVE: a connection wakes one of the workers that share the socket, not all of them. One
 * that is woken always tries to accept, so no wake-up is lost. */
static int watch_arrivals(void)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};

	arrivals = epoll_create1(EPOLL_CLOEXEC);
	return arrivals >= 0 && epoll_ctl(arrivals, EPOLL_CTL_ADD, LISTENING, &event) == 0;
}

enum err web_accept_init(struct work *w)
{
	int listening = 0;
	socklen_t n = sizeof(listening);

	if (getsockopt(LISTENING, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) < 0 || !listening)
		return work_fail(w, ERR_CONFIG, "standard input must be a listening socket");
	/* Many workers share the socket: whoever comes second must not wait inside accept(), deaf
	 * to signals. */
	if (fcntl(LISTENING, F_SETFL, fcntl(LISTENING, F_GETFL) | O_NONBLOCK) < 0 ||
		!watch_arrivals())
		return work_fail(w, ERR_CONFIG, "the listening socket cannot be used");
	if (!install_signals() || FCGX_Init() != 0 ||
		FCGX_InitRequest(&request, LISTENING, FCGI_FAIL_ACCEPT_ON_INTR) != 0)
		return work_fail(w, ERR_CONFIG, "libfcgi could not be started");
	return ERR_OK;
}

/* epoll_pwait() looks at the socket first: under a backlog that never empties a blocked signal
 * would never be let in. */
static int must_stop(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

enum web_accepted web_accept_wait(void)
{
	struct epoll_event event;
	int ready;

	if (stopping || must_stop())
		return WEB_STOPPED;
	ready = epoll_pwait(arrivals, &event, 1, -1, &while_waiting);
	if (stopping && ready <= 0)
		return WEB_STOPPED;
	return ready > 0 ? WEB_ACCEPTED : WEB_AGAIN;
}

static const char *param(struct work *w, const char *name)
{
	const char *value = FCGX_GetParam(name, request.envp);

	return value && *value ? work_strdup(w, value) : NULL;
}

/* As many bytes as were announced, and one more to see that there are no others: who answers before
 * the end has come cannot simply hang up. */
static void read_body(struct work *w, struct web_raw *raw)
{
	const char *announced = FCGX_GetParam("CONTENT_LENGTH", request.envp);
	int64_t length = 0;
	char *body;
	int n;

	if (!announced || !*announced) {
		FCGX_GetChar(request.in);
		return;
	}
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

/* Of the newest content that libfcgi read; none when a new read put its end before its beginning.
 */
static size_t bytes_left(const FCGX_Stream *in)
{
	return in->stop > in->stopUnget ? (size_t)(in->stop - in->stopUnget) : 0;
}

static void mark_held(void)
{
	held.params = request.in->stopUnget;
	held.params_bytes = bytes_left(request.in);
	held.answer = request.out->wrNext;
	held.answer_bytes = (size_t)(request.out->stop - request.out->wrNext);
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
	mark_held();
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
	secret_wipe(request.in->stopUnget, bytes_left(request.in));
	secret_wipe(held.params, held.params_bytes);
	secret_wipe(held.answer, held.answer_bytes);
}

/* Whether all of the request was taken from the socket. */
static int is_read_out(void)
{
	return FCGX_HasSeenEOF(request.in) && !FCGX_GetError(request.in);
}

/*
 * FCGX_Finish_r() would linger until the other side has hung up as well, so that what it still
 * sends does no harm to the answer. When nothing can come any more that is only a wait.
 */
void web_accept_finish(void)
{
	int lingers = !is_read_out();

	FCGX_FClose(request.err); /* before out: then the last bytes and the end are one write */
	FCGX_FClose(request.out);
	wipe();
	if (!lingers) {
		close(request.ipcFd);
		request.ipcFd = -1;
	}
	FCGX_Free(&request, lingers); /* never kept: waiting on it would bind this whole process */
}

void web_accept_abort(void)
{
	FCGX_FFlush(request.out);
	wipe();
	FCGX_Free(&request, 1);
}
