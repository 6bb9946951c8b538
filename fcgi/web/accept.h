/* FastCGI's door: the next request in, bytes of an answer out. The only file with libfcgi. */
#ifndef VESTAL_WEB_ACCEPT_H
#define VESTAL_WEB_ACCEPT_H

#include "base/work.h"

#define WEB_BODY_MAX_BYTES ((size_t)64 * 1024)

/* A request as nginx handed it over (nginx/fastcgi_vestal.conf); texts may be NULL, and live as
 * long as the work. */
struct web_raw {
	const char *method, *uri, *content_type, *address, *forwarded, *request_id;
	const char *authorization, *accept, *if_none_match, *user_agent, *origin, *cookie, *csrf;
	const char *body;
	size_t body_bytes;
	int body_too_large;
	int as_it_is; /* nginx asks for the third time: no renewal may come first */
};

enum web_accepted { WEB_ACCEPTED, WEB_AGAIN, WEB_STOPPED };

/* Takes over the listening socket on descriptor 0. Returns: ERR_CONFIG when it is none. */
enum err web_accept_init(struct work *w) MUST_CHECK;

/*
 * Waits for the next request. WEB_STOPPED: SIGTERM or SIGINT came while no request was there.
 * WEB_AGAIN: somebody else took it, accepting failed and may not fail again, or half of it came.
 */
enum web_accepted web_accept_wait(void);

/* Reads the request that waits into the work, copied, because libfcgi frees its own copy at the
 * next one. */
enum web_accepted web_accept_read(struct work *w, struct web_raw *raw);

/* Sends bytes of the answer, headers first. Returns 0 when the other side has gone. */
int web_accept_write(const void *bytes, size_t n);

/* Ends the answer, and wipes what libfcgi held of the request. */
void web_accept_finish(void);

/* Breaks the answer off, so that the caller sees that it is not whole. */
void web_accept_abort(void);

#endif
