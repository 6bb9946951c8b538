/* Answers: JSON, problems, redirects, pages. Only here does an error become something a caller
 * reads. */
#ifndef VESTAL_WEB_REPLY_H
#define VESTAL_WEB_REPLY_H

#include "base/jout.h"
#include "web/request.h"

#define WEB_REPLY_MAX_BYTES ((size_t)1024 * 1024)

struct web_reply {
	struct web_request *r;
	struct buf buf;
	struct jout json;
	int status;
	int enveloped, started;
	const char *header_name, *header_value; /* one more header; NULL: none */
};

/*
 * Begins a JSON answer: write members with reply->json, then end it. For /divine routes it stands
 * in their envelope, and what is written are the members of `data`.
 */
void web_reply_begin(struct web_reply *reply, struct web_request *r, int status);
void web_reply_begin_enveloped(struct web_reply *reply, struct web_request *r);
enum err web_reply_end(struct web_reply *reply) MUST_CHECK;

/* Sends what has been written so far, so that a long list needs no memory of its length. Returns:
 * ERR_IO. */
enum err web_reply_flush(struct web_reply *reply) MUST_CHECK;

/* An answer without body: a redirect (303 with Location) or 304 with an ETag. */
enum err web_reply_empty(
	struct web_request *r, int status, const char *header, const char *value) MUST_CHECK;

/* A problem, or a page of it for those who prefer one. Source: RFC 9457. */
void web_reply_error(struct web_request *r, enum err err, const char *allow);

/* A small page: what happened, and lines of detail. Texts are escaped. */
struct web_page {
	int status;
	const char *title, *lead;
	const char *allow;    /* the methods there are, for a 405; or NULL */
	const char *lines[8]; /* up to the first NULL */
};
void web_reply_page(struct web_request *r, const struct web_page *page);

#endif
