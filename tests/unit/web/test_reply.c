/* Answers: their headers, what of an error is told, and that no text becomes more than text. */
#include "ask.h"

#include "base/jin.h"
#include "web/reply.h"

#include <string.h>

#define HOSTILE "<script>alert(\"1\")</script>&'\r\nSet-Cookie: a=b\x07\xff"

static json_t *body(struct service *s)
{
	const char *text = fake_accept_body();
	json_t *json = jin_parse(&s->w, text, strlen(text));

	if (!json_is_object(json))
		fail_msg("no JSON object: %.200s", text);
	return json;
}

static const char *member(const json_t *json, const char *name)
{
	return json_string_value(json_object_get(json, name));
}

static void a_problem_tells_what_the_table_says(void **state)
{
	struct service *s = *state;

	for (int i = 1; i < ERR_COUNT; i++) {
		enum err err = (enum err)i;
		struct web_request r = ask(s, "GET", "/x");
		json_t *json;

		web_reply_error(&r, err, NULL);
		assert_int_equal(fake_accept_status(), err_status(err));
		assert_int_equal(r.status, err_status(err));
		unit_lacks("head", fake_accept_header("Status"), " Status"); /* it has words */
		unit_same("type", fake_accept_header("Content-Type"), "application/problem+json");
		unit_same("cache", fake_accept_header("Cache-Control"), "no-store");
		unit_same("allow", fake_accept_header("Allow"), NULL);
		json = body(s);
		unit_same("type", member(json, "type"),
			work_printf(&s->w, "urn:vestal:error:%s", err_slug(err)));
		unit_same("title", member(json, "title"), err_title(err));
		unit_same("requestId", member(json, "requestId"), "request-1");
		assert_int_equal(
			json_integer_value(json_object_get(json, "status")), err_status(err));
		assert_non_null(member(json, "detail"));
		assert_null(json_object_get(json, "errors"));
	}
}

static void a_problem_names_its_fields_and_never_its_cause(void **state)
{
	struct service *s = *state;
	struct web_request r = ask(s, "GET", "/x");
	const json_t *errors;

	work_fail(r.w, ERR_INPUT, "Said %s.", HOSTILE);
	work_cause(r.w, ERR_INPUT, "sqlstate 42");
	work_fail_field(r.w, HOSTILE, "is %s", HOSTILE);
	work_fail_field(r.w, "second", "is bad");
	web_reply_error(&r, ERR_INPUT, NULL);
	errors = json_object_get(body(s), "errors");
	assert_int_equal(json_array_size(errors), 2);
	unit_same("field", member(json_array_get(errors, 1), "field"), "second");
	unit_same("reason", member(json_array_get(errors, 1), "reason"), "is bad");
	unit_holds(
		"field", member(json_array_get(errors, 0), "field"), "</script>&'\r\nSet-Cookie");
	unit_holds("detail", member(body(s), "detail"), "<script>alert(\"1\")");
	unit_lacks("head", fake_accept_head(), "Set-Cookie");
	unit_lacks("body", fake_accept_body(), "42");
	unit_lacks("body", fake_accept_body(), "\n");
	unit_lacks("body", fake_accept_body(), "\x07");
}

static void some_statuses_have_headers_of_their_own(void **state)
{
	struct web_request r = ask(*state, "GET", "/x");

	web_reply_error(&r, ERR_UNAUTHENTICATED, NULL);
	unit_holds("401", fake_accept_header("WWW-Authenticate"), "Bearer ");
	unit_same("401", fake_accept_header("Retry-After"), NULL);
	r = ask(*state, "GET", "/x");
	r.w->retry_after_s = 30;
	web_reply_error(&r, ERR_TOKEN_UNAVAILABLE, NULL);
	unit_same("503", fake_accept_header("Retry-After"), "30");
	unit_same("503", fake_accept_header("WWW-Authenticate"), NULL);
	r = ask(*state, "GET", "/x");
	r.w->retry_after_s = 30;
	web_reply_error(&r, ERR_INPUT, NULL);
	unit_same("400", fake_accept_header("Retry-After"), NULL);
}

/* Source: RFC 9110 section 15.5.6. */
static void a_method_that_is_not_there_names_those_that_are(void **state)
{
	struct web_request r = ask(*state, "DELETE", "/healthz");
	const char *allow;

	assert_int_equal(ask_match(&r, &allow), ERR_METHOD);
	web_reply_error(&r, ERR_METHOD, allow);
	assert_int_equal(fake_accept_status(), 405);
	unit_same("problem", fake_accept_header("Allow"), "GET, HEAD");
	r = ask(*state, "DELETE", "/healthz");
	r.raw.accept = "text/html";
	assert_int_equal(ask_match(&r, &allow), ERR_METHOD);
	web_reply_error(&r, ERR_METHOD, allow);
	unit_holds("page", fake_accept_header("Content-Type"), "text/html");
	unit_same("page", fake_accept_header("Allow"), "GET, HEAD");
}

/* Source: RFC 9110 section 9.3.2. */
static void head_has_the_headers_and_nothing_else(void **state)
{
	static const char *const uris[] = {
		"/healthz", "/nothing", "/api/oauth/token/acme", "/healthz?x=1"};

	for (size_t i = 0; i < UNIT_COUNT(uris); i++)
		for (int page = 0; page < 2; page++) {
			struct web_request r = ask(*state, "HEAD", uris[i]);
			const char *allow = NULL;
			enum err err;

			r.raw.accept = page ? "text/html" : NULL;
			err = ask_match(&r, &allow);
			if (!err)
				err = web_request_read_fields(&r);
			if (!err)
				err = r.route->handle(&r);
			if (err)
				web_reply_error(&r, err, allow);
			assert_true(fake_accept_status() >= 200);
			assert_non_null(fake_accept_header("Content-Type"));
			unit_same(uris[i], fake_accept_body(), "");
		}
}

static void a_header_with_a_line_break_is_left_out(void **state)
{
	static const char *const values[] = {
		"a\r\nSet-Cookie: x=1", "a\nSet-Cookie: x=1", "a\rb", "\n"};

	for (size_t i = 0; i < UNIT_COUNT(values); i++) {
		struct web_request r = ask(*state, "GET", "/x");

		assert_int_equal(web_reply_empty(&r, 303, "Location", values[i]), ERR_OK);
		assert_int_equal(fake_accept_status(), 303);
		unit_same("Location", fake_accept_header("Location"), NULL);
		unit_lacks("head", fake_accept_head(), "Set-Cookie");
		unit_same("body", fake_accept_body(), "");
		unit_same("cache", fake_accept_header("Cache-Control"), "no-store");
	}
}

static void an_empty_answer_has_its_header_and_no_type(void **state)
{
	struct web_request r = ask(*state, "GET", "/x");

	assert_int_equal(web_reply_empty(&r, 304, "ETag", "\"7\""), ERR_OK);
	assert_int_equal(r.status, 304);
	unit_same("ETag", fake_accept_header("ETag"), "\"7\"");
	unit_same("type", fake_accept_header("Content-Type"), NULL);
	unit_same("body", fake_accept_body(), "");
}

static void a_page_holds_texts_and_no_markup_of_others(void **state)
{
	struct web_request r = ask(*state, "GET", "/x");
	const struct web_page page = {.status = 200,
		.title = "<t>" HOSTILE,
		.lead = "<l>" HOSTILE,
		.lines = {"<1>" HOSTILE, "second", "3", "4", "5", "6", "7", "eighth"}};
	const char *text;

	web_reply_page(&r, &page);
	text = fake_accept_body();
	unit_lacks("page", text, "<script");
	unit_lacks("page", text, "</script");
	unit_lacks("page", text, "<t>");
	unit_lacks("page", text, "<l>");
	unit_lacks("page", text, "<1>");
	unit_holds("page", text,
		"<h1>&lt;t&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;'");
	unit_holds("page", text, "<p>&lt;l&gt;");
	unit_holds("page", text, "<li>&lt;1&gt;");
	unit_holds("page", text, "<li>eighth</li>");
	unit_lacks("head", fake_accept_head(), "Set-Cookie");
	unit_holds("type", fake_accept_header("Content-Type"), "text/html; charset=utf-8");
}

static void a_page_of_an_error_is_as_careful(void **state)
{
	struct web_request r = ask(*state, "GET", "/x");

	r.raw.accept = "text/html";
	for (int i = 0; i < WORK_FIELD_FAULTS_MAX; i++)
		work_fail_field(r.w, "<b>" HOSTILE, "is %s", HOSTILE);
	work_cause(r.w, ERR_INPUT, "sqlstate 42");
	web_reply_error(&r, ERR_INPUT, NULL);
	assert_int_equal(fake_accept_status(), 400);
	unit_lacks("page", fake_accept_body(), "<b>");
	unit_lacks("page", fake_accept_body(), "<script");
	unit_lacks("page", fake_accept_body(), "sqlstate");
	unit_holds("page", fake_accept_body(), "Request request-1");
	unit_holds("page", fake_accept_body(), "</html>");
}

static void an_envelope_is_true(void **state)
{
	struct service *s = *state;
	struct web_request r = ask(s, "GET", "/x");
	struct web_reply reply;
	const json_t *metadata;

	web_reply_begin_enveloped(&reply, &r);
	jout_int(&reply.json, "total", 3);
	assert_int_equal(web_reply_end(&reply), ERR_OK);
	assert_int_equal(fake_accept_status(), 200);
	assert_true(json_is_true(json_object_get(body(s), "success")));
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(body(s), "data"), "total")), 3);
	metadata = json_object_get(body(s), "metadata");
	unit_same("request_id", member(metadata, "request_id"), "request-1");
	assert_int_equal(strlen(member(metadata, "timestamp")), 24);
	assert_true(json_is_integer(json_object_get(metadata, "latency_ms")));
}

static void a_long_answer_leaves_in_parts_and_is_whole(void **state)
{
	struct service *s = *state;
	struct web_request r = ask(s, "GET", "/x");
	struct web_reply reply;
	const char *text;

	web_reply_begin(&reply, &r, 200);
	jout_array(&reply.json, "list");
	for (int i = 0; i < 100000; i++) {
		jout_int(&reply.json, NULL, 1000000 + i);
		assert_int_equal(web_reply_flush(&reply), ERR_OK);
		assert_true(reply.buf.len < 17000);
	}
	jout_end_array(&reply.json);
	assert_int_equal(web_reply_end(&reply), ERR_OK);
	assert_true(fake_accept_writes() > 10);
	text = fake_accept_body();
	assert_int_equal(
		json_array_size(json_object_get(jin_parse(&s->w, text, strlen(text)), "list")),
		100000);
}

static void an_answer_that_is_too_large_is_not_sent_cut(void **state)
{
	struct web_request r = ask(*state, "GET", "/x");
	struct web_reply reply;

	web_reply_begin(&reply, &r, 200);
	for (int i = 0; i < 200000; i++)
		jout_int(&reply.json, "seven_bytes", i);
	assert_int_equal(web_reply_end(&reply), ERR_BUG);
	assert_int_equal(fake_accept_writes(), 0);
	assert_int_equal(r.status, 0);
}

static void nobody_is_told_when_nobody_listens(void **state)
{
	struct web_request r = ask(*state, "GET", "/x");
	struct web_reply reply;

	fake_accept_leave();
	web_reply_begin(&reply, &r, 200);
	assert_int_equal(web_reply_end(&reply), ERR_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVICE_TEST(a_problem_tells_what_the_table_says),
		SERVICE_TEST(a_problem_names_its_fields_and_never_its_cause),
		SERVICE_TEST(some_statuses_have_headers_of_their_own),
		SERVICE_TEST(a_method_that_is_not_there_names_those_that_are),
		SERVICE_TEST(head_has_the_headers_and_nothing_else),
		SERVICE_TEST(a_header_with_a_line_break_is_left_out),
		SERVICE_TEST(an_empty_answer_has_its_header_and_no_type),
		SERVICE_TEST(a_page_holds_texts_and_no_markup_of_others),
		SERVICE_TEST(a_page_of_an_error_is_as_careful),
		SERVICE_TEST(an_envelope_is_true),
		SERVICE_TEST(a_long_answer_leaves_in_parts_and_is_whole),
		SERVICE_TEST(an_answer_that_is_too_large_is_not_sent_cut),
		SERVICE_TEST(nobody_is_told_when_nobody_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
