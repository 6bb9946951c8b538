/*
 * Writing answers. It decides the headers every answer has and what of an error may be seen; nginx
 * adds the request id and the headers that hold for its own answers too.
 */
#include "web/reply.h"

#include "base/clock.h"
#include "base/text.h"
#include "web/route.h"

#include <string.h>

#define HEADERS_MAX_BYTES 16384
#define FLUSH_BYTES ((size_t)16 * 1024)

struct phrase {
	int status;
	const char *words;
};

static const char *phrase_of(int status)
{
	static const struct phrase phrases[] = {{200, "OK"}, {201, "Created"}, {202, "Accepted"},
		{204, "No Content"}, {303, "See Other"}, {304, "Not Modified"},
		{400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"},
		{405, "Method Not Allowed"}, {409, "Conflict"}, {413, "Content Too Large"},
		{415, "Unsupported Media Type"}, {422, "Unprocessable Content"},
		{429, "Too Many Requests"}, {500, "Internal Server Error"}, {502, "Bad Gateway"},
		{503, "Service Unavailable"}, {521, "Renewal Needed"}};

	for (size_t i = 0; i < sizeof(phrases) / sizeof(*phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].words;
	return "Status";
}

/* A value of ours never holds a line break; should one ever, the header is left out rather than
 * split. */
static void header(struct buf *buf, const char *name, const char *value)
{
	if (value && !strpbrk(value, "\r\n"))
		buf_printf(buf, "%s: %s\r\n", name, value);
}

static void send_head(struct web_request *r, int status, const char *content_type, const char *name,
	const char *value)
{
	struct buf buf;

	r->status = status;
	buf_init(&buf, r->w, HEADERS_MAX_BYTES);
	buf_printf(&buf, "Status: %d %s\r\n", status, phrase_of(status));
	header(&buf, "Content-Type", content_type);
	header(&buf, "Cache-Control", "no-store");
	header(&buf, name, value);
	if (r->w->retry_after_s && status >= 422)
		buf_printf(&buf, "Retry-After: %u\r\n", r->w->retry_after_s);
	if (status == 401)
		header(&buf, "WWW-Authenticate", "Bearer realm=\"vestal\"");
	buf_text(&buf, "\r\n");
	web_accept_write(buf.data, buf.len);
}

static void begin(struct web_reply *reply, struct web_request *r, int status)
{
	*reply = (struct web_reply){.r = r, .status = status};
	buf_init(&reply->buf, r->w, WEB_REPLY_MAX_BYTES);
	jout_init(&reply->json, &reply->buf);
	jout_object(&reply->json, NULL);
}

void web_reply_begin(struct web_reply *reply, struct web_request *r, int status)
{
	begin(reply, r, status);
}

void web_reply_begin_enveloped(struct web_reply *reply, struct web_request *r)
{
	begin(reply, r, 200);
	reply->enveloped = 1;
	jout_bool(&reply->json, "success", 1);
	jout_object(&reply->json, "data");
}

static enum err send_body(struct web_reply *reply)
{
	int sent = 1;

	if (!reply->started)
		send_head(reply->r, reply->status, "application/json", reply->header_name,
			reply->header_value);
	reply->started = 1;
	if (!reply->r->head)
		sent = web_accept_write(reply->buf.data, reply->buf.len);
	buf_clear(&reply->buf);
	return sent ? ERR_OK : work_cause(reply->r->w, ERR_IO, "the caller has gone");
}

enum err web_reply_flush(struct web_reply *reply)
{
	return reply->buf.len < FLUSH_BYTES ? ERR_OK : send_body(reply);
}

static void end_envelope(struct web_reply *reply)
{
	char now[CLOCK_TEXT_BYTES];
	struct jout *j = &reply->json;

	jout_end_object(j);
	jout_object(j, "metadata");
	jout_text(j, "request_id", reply->r->w->origin.request_id);
	jout_text(j, "timestamp", clock_text(clock_wall_ms(), now));
	jout_int(j, "latency_ms", clock_monotonic_ms() - reply->r->began_ms);
	jout_end_object(j);
}

enum err web_reply_end(struct web_reply *reply)
{
	if (reply->enveloped)
		end_envelope(reply);
	jout_end_object(&reply->json);
	if (reply->buf.overflow)
		return work_cause(reply->r->w, ERR_BUG, "an answer is larger than its ceiling");
	return send_body(reply);
}

enum err web_reply_empty(struct web_request *r, int status, const char *name, const char *value)
{
	send_head(r, status, NULL, name, value);
	return ERR_OK;
}

/* --- problems --------------------------------------------------------------------------------- */

static void compose_problem(struct web_request *r, enum err err, struct jout *j)
{
	jout_object(j, NULL);
	jout_text(j, "type", work_printf(r->w, "urn:vestal:error:%s", err_slug(err)));
	jout_text(j, "title", err_title(err));
	jout_int(j, "status", err_status(err));
	jout_text(j, "detail", r->w->detail ? r->w->detail : err_title(err));
	jout_text(j, "requestId", r->w->origin.request_id);
	for (size_t i = 0; i < r->w->told_count; i++)
		jout_text(j, r->w->told[i].name, r->w->told[i].value);
	if (r->w->fault_count) {
		jout_array(j, "errors");
		for (size_t i = 0; i < r->w->fault_count; i++) {
			jout_object(j, NULL);
			jout_text(j, "field", r->w->faults[i].field);
			jout_text(j, "reason", r->w->faults[i].reason);
			jout_end_object(j);
		}
		jout_end_array(j);
	}
	jout_end_object(j);
}

/* A fault of ours may have struck after the change was made. */
static const char *default_lead(enum err err)
{
	return err_status(err) < 500
		       ? "Nothing was changed."
		       : "It is not certain what came of it: look at the connection's health.";
}

static void send_page_of(struct web_request *r, enum err err, const char *allow)
{
	struct web_page page = {.status = err_status(err),
		.title = err_title(err),
		.allow = allow,
		.lead = r->w->detail ? r->w->detail : default_lead(err)};
	size_t n = 0;

	for (size_t i = 0; i < r->w->fault_count && n < 6; i++)
		page.lines[n++] =
			work_printf(r->w, "%s %s", r->w->faults[i].field, r->w->faults[i].reason);
	page.lines[n] = work_printf(r->w, "Request %s", r->w->origin.request_id);
	web_reply_page(r, &page);
}

void web_reply_error(struct web_request *r, enum err err, const char *allow)
{
	struct buf buf;
	struct jout j;

	if (web_request_wants_page(r)) {
		send_page_of(r, err, allow);
		return;
	}
	buf_init(&buf, r->w, WEB_REPLY_MAX_BYTES);
	jout_init(&j, &buf);
	compose_problem(r, err, &j);
	send_head(r, err_status(err), "application/problem+json", allow ? "Allow" : NULL, allow);
	if (!r->head)
		web_accept_write(buf.data, buf.len);
}

/* --- pages ------------------------------------------------------------------------------------ */

static void element(struct buf *buf, const char *tag, const char *text)
{
	buf_printf(buf, "<%s>", tag);
	text_html_escape(buf, text);
	buf_printf(buf, "</%s>\n", tag);
}

void web_reply_page(struct web_request *r, const struct web_page *page)
{
	struct buf buf;

	buf_init(&buf, r->w, WEB_REPLY_MAX_BYTES);
	buf_text(&buf, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
		       "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		       "<link rel=\"stylesheet\" href=\"/vestal.css\">\n");
	element(&buf, "title", work_printf(r->w, "%s - Vestal", page->title));
	buf_printf(&buf, "<main class=\"%s\">\n", page->status < 400 ? "good" : "bad");
	element(&buf, "h1", page->title);
	element(&buf, "p", page->lead);
	buf_text(&buf, "<ul>\n");
	for (size_t i = 0; i < sizeof(page->lines) / sizeof(*page->lines) && page->lines[i]; i++)
		element(&buf, "li", page->lines[i]);
	buf_text(&buf, "</ul>\n</main>\n</html>\n");
	send_head(r, page->status, "text/html; charset=utf-8", page->allow ? "Allow" : NULL,
		page->allow);
	if (!r->head)
		web_accept_write(buf.data, buf.len);
}
