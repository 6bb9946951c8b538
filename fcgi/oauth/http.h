/* The one way out: every request to a provider, under one profile. The only file that knows
 * libcurl. */
#ifndef VESTAL_OAUTH_HTTP_H
#define VESTAL_OAUTH_HTTP_H

#include "base/buf.h"
#include "base/secret.h"
#include "oauth/provider.h"

#define OAUTH_HTTP_BODY_MAX_BYTES ((size_t)256 * 1024)
#define OAUTH_HTTP_CONNECT_MS 5000
#define OAUTH_HTTP_RETRY_AFTER_MAX_S 86400
#define OAUTH_HTTP_IDLE_MAX_S 1 /* a connection that lay unused longer is not used again */
#define OAUTH_HTTP_CONNECTION_MAX_S 60

struct oauth_http;

struct oauth_http_request {
	enum oauth_method method;
	const char *url, *origin; /* the url must be of this origin */
	struct oauth_pairs headers;
	const char *content_type;        /* of the body */
	const struct secret *body;       /* NULL: none */
	const char *scheme;              /* "Basic", "Bearer", "Zoho-oauthtoken" */
	const struct secret *credential; /* what follows it; NULL: no Authorization header */
	int64_t total_ms;   /* until the last byte; the work's own deadline counts too */
	int allow_loopback; /* loopback addresses only, plain http to them; without it they are for
			       https to a host that is written as loopback, see
			       oauth_url_is_loopback */
	int may_reuse;      /* what is not a GET may go over a kept connection: still at most once,
			       but when that turns out to be dead, nobody knows whether it arrived */
};

/* What became of a request. */
enum oauth_transport {
	OAUTH_TRANSPORT_OK,          /* there is an answer */
	OAUTH_TRANSPORT_NOT_SENT,    /* not a byte of the request left */
	OAUTH_TRANSPORT_AMBIGUOUS,   /* it left, and no whole answer came back */
	OAUTH_TRANSPORT_CERTIFICATE, /* unproved other side; nothing was sent */
};

/* cause: NULL, or one of: dns connect tls certificate address_refused deadline dropped too_large
 * protocol */
struct oauth_http_answer {
	enum oauth_transport transport;
	const char *cause;
	int status;
	struct buf body;          /* what came, also when the answer is not whole */
	const char *content_type; /* lower case, without parameters; "" when not said */
	unsigned retry_after_s;   /* 0: not said */
};

/*
 * Makes libcurl ready, with allocators that wipe what they free; once per process, before any
 * thread. Returns: ERR_NO_MEMORY.
 */
enum err oauth_http_init(void) MUST_CHECK;
void oauth_http_cleanup(void);

/*
 * A caller of providers: keeps connections and TLS sessions between requests, nothing else.
 * ca_file: a PEM file to trust instead of the system's, or NULL; it must live as long, and is read
 * again at most every minute. Not for two threads at once. Returns NULL without memory. Owns: the
 * caller (oauth_http_free).
 */
struct oauth_http *oauth_http_new(const char *ca_file);

/* Gives up what is still on its way; no answer is written any more. */
void oauth_http_free(struct oauth_http *http);

/*
 * Sends a request and waits, at most total_ms and never beyond the work's deadline. Redirects are
 * answers, never followed. A request other than GET is sent at most once, which libcurl alone does
 * not promise: it repeats what it sent on a kept connection that turns out to be dead. Requests
 * that were started move on meanwhile. Returns: ERR_OK whenever *answer is filled, whatever the
 * transport says; ERR_BUG for a request that breaks the rules above (another origin, plain http
 * elsewhere than loopback, control characters in a header); ERR_NO_MEMORY. Owns: the work.
 */
enum err oauth_http_call(struct work *w, struct oauth_http *http,
	const struct oauth_http_request *request, struct oauth_http_answer *answer) MUST_CHECK;

/*
 * Starts a request as oauth_http_call() sends one; it travels while oauth_http_wait() is called,
 * and its time counts from now. The request with all its parts, *answer and the work must live
 * until oauth_http_next() returned the tag, which is not NULL, or the handle is freed. One for
 * which no time is left ends at once, not sent. Returns: as oauth_http_call(); after an error there
 * is nothing to wait for.
 */
enum err oauth_http_start(struct work *w, struct oauth_http *http,
	const struct oauth_http_request *request, struct oauth_http_answer *answer,
	void *tag) MUST_CHECK;

/*
 * Moves all requests on. When none has ended yet, waits for something to happen, at most wait_ms
 * (0: not at all), also until fd (-1: none) can be read, and moves them on again. Returns:
 * ERR_NO_MEMORY, ERR_BUG; then nothing is lost, but nothing moves.
 */
enum err oauth_http_wait(struct oauth_http *http, int64_t wait_ms, int fd) MUST_CHECK;

/* The tag of a request that ended, its answer filled; each is returned once. NULL: none has ended.
 */
void *oauth_http_next(struct oauth_http *http);

/* How many were started and not returned yet. */
size_t oauth_http_count(const struct oauth_http *http);

#endif
