/* Reading a request: what is not declared, not of its type or not there is refused, each with its
 * field named. */
#include "ask.h"

#include <string.h>

#define HEALTH "/divine/oauth/health"
#define REAUTHORIZE "/api/oauth/reauthorize/acme"
#define EMERGENCY "/api/zoho/emergency-reauth"
#define OVERRIDE "/api/zoho/manual-token-update"
#define UNDO "/api/oauth/undo/acme"
#define TOKEN "/api/oauth/token/acme?provider=zoho_crm"
#define PUT_CLIENT "/api/oauth/clients/acme"
#define X100                                                                                       \
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"                                       \
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X500 X100 X100 X100 X100 X100

static void declared_fields_are_read(void **state)
{
	struct web_request r = ask(*state, "GET",
		HEALTH "?status=invalid,expired&&limit=10000&clientId=a%2Db&provider=zoho%5fcrm&"
		       "after=a/b+c&");
	const struct web_value *status;

	assert_int_equal(ask_read(&r), ERR_OK);
	status = web_request_value(&r, "status");
	assert_int_equal(status->count, 2);
	assert_string_equal(status->list[0], "invalid");
	assert_string_equal(status->list[1], "expired");
	assert_int_equal(web_request_value(&r, "limit")->number, 10000);
	assert_string_equal(web_request_text(&r, "clientId"), "a-b");
	assert_string_equal(web_request_text(&r, "provider"), "zoho_crm");
	assert_string_equal(web_request_text(&r, "after"), "a/b c");

	r = ask_with(*state, "POST", REAUTHORIZE,
		" {\"reason\": \"l\\u00e4uft ab\", \"provider\":\"zoho_crm\"} ");
	r.raw.content_type = "Application/JSON ; charset=utf-8";
	assert_int_equal(ask_read(&r), ERR_OK);
	assert_string_equal(web_request_text(&r, "clientId"), "acme");
	assert_string_equal(web_request_text(&r, "provider"), "zoho_crm");
	assert_string_equal(web_request_text(&r, "reason"), "l\xc3\xa4uft ab");

	r = ask_with(*state, "POST", OVERRIDE, "{\"reason\":\"x\",\"dryRun\":true}");
	assert_int_equal(ask_read(&r), ERR_OK);
	assert_int_equal(web_request_value(&r, "dryRun")->number, 1);
	r = ask_with(*state, "POST", OVERRIDE, "{\"reason\":\"x\",\"dryRun\":false}");
	assert_int_equal(ask_read(&r), ERR_OK);
	assert_int_equal(web_request_value(&r, "dryRun")->number, 0);

	r = ask_with(*state, "PUT", PUT_CLIENT, "{\"providers\":[\"zoho_crm\",\"\"]}");
	assert_int_equal(ask_read(&r), ERR_OK);
	assert_int_equal(web_request_value(&r, "providers")->count, 2);
	assert_string_equal(web_request_value(&r, "providers")->list[0], "zoho_crm");
	assert_null(web_request_text(&r, "name"));
	assert_null(web_request_text(&r, "undeclared"));
}

static void what_is_optional_may_be_absent(void **state)
{
	struct web_request r = ask(*state, "POST", EMERGENCY);

	assert_int_equal(ask_read(&r), ERR_OK);
	assert_null(web_request_text(&r, "clientId"));
	r = ask(*state, "GET", HEALTH "?");
	assert_int_equal(ask_read(&r), ERR_OK);
	r = ask_with(*state, "PUT", PUT_CLIENT, "{\"providers\":[]}");
	assert_int_equal(ask_read(&r), ERR_OK);
	assert_non_null(web_request_value(&r, "providers")->list);
}

static void queries_are_refused_with_the_field_named(void **state)
{
	static const struct {
		const char *uri, *field, *reason;
	} cases[] = {
		{HEALTH "?foo=1", "foo", "not a parameter"},
		{HEALTH "?foo", "foo", "not a parameter"},
		{HEALTH "?=1", "", "not a parameter"},
		{HEALTH "?limit=1&limit=1", "limit", "more than once"},
		{HEALTH "?limit=1&limi%74=2", "limit", "more than once"},
		{HEALTH "?status=a&status=b", "status", "more than once"},
		{HEALTH "?limit=", "limit", "whole number from 1 to 10000"},
		{HEALTH "?limit", "limit", "whole number"},
		{HEALTH "?limit=0", "limit", "whole number"},
		{HEALTH "?limit=10001", "limit", "whole number"},
		{HEALTH "?limit=1.5", "limit", "whole number"},
		{HEALTH "?limit=99999999999999999999", "limit", "whole number"},
		{HEALTH "?clientId=", "clientId", "not a client id"},
		{HEALTH "?clientId=a/b", "clientId", "not a client id"},
		{HEALTH "?clientId=..", "clientId", "not a client id"},
		{HEALTH "?clientId=" X100, "clientId", "not a client id"},
		{HEALTH "?provider=nobody", "provider", "not a known provider"},
		{HEALTH "?provider=..%2f..%2fetc", "provider", "not a known provider"},
		{HEALTH "?status=", "status", "list of words"},
		{HEALTH "?status=a,,b", "status", "list of words"},
		{HEALTH "?status=a,", "status", "list of words"},
		{HEALTH "?status=,", "status", "list of words"},
		{HEALTH "?after=", "after", "1 to 200 bytes"},
		{HEALTH "?after=" X100 X100 "x", "after", "1 to 200 bytes"},
		{HEALTH "?after=a%0Ab", "after", "control character"},
		{HEALTH "?after=a%7F", "after", "control character"},
		{HEALTH "?after=%C2%85", "after", "control character"},
		{HEALTH "?after=%FF", "after", "not UTF-8"},
		{HEALTH "?clientId=a%00b", "clientId", "bad escape"},
		{HEALTH "?after=%", "after", "bad escape"},
		{HEALTH "?after=%4", "after", "bad escape"},
		{HEALTH "?after=%4&limit=1", "after", "bad escape"},
		{HEALTH "?after=%zz", "after", "bad escape"},
		{HEALTH "?%zz=1", "query", "bad escape"},
		{HEALTH "?a%0Ab=%zz", "query", "bad escape"},
		{HEALTH "?a%0Ab=1", "query", "not a parameter"},
		{HEALTH "?%ff=1", "query", "not a parameter"},
		{"/api/oauth/token/acme", "provider", "is missing"},
		{"/api/oauth/token/a%2Fb?provider=zoho_crm", "clientId", "not a client id"},
		{"/api/oauth/token/a%zz?provider=zoho_crm", "clientId", "not a client id"},
		{"/api/oauth/token/a+b?provider=zoho_crm", "clientId", "not a client id"},
		{"/api/oauth/token/a%0A?provider=zoho_crm", "clientId", "control character"},
		{TOKEN "&clientId=acme", "clientId", "not a parameter"},
		{TOKEN "&min_ttl=-1", "min_ttl", "whole number"},
		{"/healthz?x=1", "x", "not a parameter"},
		{"/api/oauth/callback/nobody?code=1&state=2", "provider", "not a known provider"},
		{"/api/oauth/callback/zoho_crm?code=1&code=2", "code", "more than once"},
		{"/api/oauth/callback/zoho_crm?state=1&stat%65=1", "state", "more than once"},
		{"/api/oauth/callback/zoho_crm?x=%zz", "x", "bad escape"},
	};

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		struct web_request r = ask(*state, "GET", cases[i].uri);

		if (ask_read(&r) != ERR_INPUT)
			fail_msg("%s is taken", cases[i].uri);
		if (!ask_faults(&r, cases[i].field, cases[i].reason))
			fail_msg("%s: %s: %s", cases[i].uri, r.w->faults[0].field,
				r.w->faults[0].reason);
	}
}

static void bodies_are_refused_with_the_field_named(void **state)
{
	static const struct {
		const char *method, *uri, *body, *field, *reason;
	} cases[] = {
		{"POST", REAUTHORIZE, "{\"provider\":\"zoho_crm\",\"force\":true}", "force",
			"not a field"},
		{"POST", REAUTHORIZE, "{\"provider\":\"zoho_crm\",\"clientId\":\"acme\"}",
			"clientId", "not a field"},
		{"POST", REAUTHORIZE, "{\"provider\":\"zoho_crm\",\"a\\nb\":1}", "body",
			"not a field"},
		{"POST", REAUTHORIZE, "{\"provider\":\"zoho_crm\",\"provider\":\"zoho_crm\"}",
			"provider", "more than once"},
		{"POST", REAUTHORIZE, "{}", "provider", "is missing"},
		{"POST", REAUTHORIZE, "", "provider", "is missing"},
		{"POST", REAUTHORIZE, "{\"provider\":1}", "provider", "must be a text"},
		{"POST", REAUTHORIZE, "{\"provider\":null}", "provider", "must be a text"},
		{"POST", REAUTHORIZE, "{\"provider\":[\"zoho_crm\"]}", "provider",
			"must be a text"},
		{"POST", REAUTHORIZE, "{\"provider\":\"\"}", "provider", "not a known provider"},
		{"POST", REAUTHORIZE, "{\"provider\":\"zoho_crm\",\"reason\":\"\"}", "reason",
			"1 to 500 bytes"},
		{"POST", REAUTHORIZE, "{\"provider\":\"zoho_crm\",\"reason\":\"x" X500 "\"}",
			"reason", "1 to 500 bytes"},
		{"POST", REAUTHORIZE, "{\"provider\":\"zoho_crm\",\"reason\":\"a\\u0007\"}",
			"reason", "control character"},
		{"POST", REAUTHORIZE, "{\"provider\":\"zoho_crm\",\"reason\":\"a\\u0000\"}", "body",
			"not a JSON object"},
		{"POST", EMERGENCY, "[]", "body", "not a JSON object"},
		{"POST", EMERGENCY, "\"x\"", "body", "not a JSON object"},
		{"POST", EMERGENCY, "null", "body", "not a JSON object"},
		{"POST", EMERGENCY, "{", "body", "not a JSON object"},
		{"POST", EMERGENCY, "{} x", "body", "not a JSON object"},
		{"POST", EMERGENCY, " ", "body", "not a JSON object"},
		{"POST", EMERGENCY, "clientId=acme", "body", "not a JSON object"},
		{"POST", EMERGENCY "?clientId=acme", "{}", "clientId", "not a parameter"},
		{"POST", OVERRIDE, "{}", "reason", "is missing"},
		{"POST", OVERRIDE, "{\"reason\":\"x\",\"dryRun\":\"true\"}", "dryRun",
			"true or false"},
		{"POST", OVERRIDE, "{\"reason\":\"x\",\"dryRun\":1}", "dryRun", "true or false"},
		{"POST", OVERRIDE, "{\"reason\":\"x\",\"dryRun\":null}", "dryRun", "true or false"},
		{"POST", OVERRIDE, "{\"reason\":\"x\",\"expires_in\":316224001}", "expires_in",
			"whole number"},
		{"POST", UNDO, "{\"provider\":\"zoho_crm\"}", "reason", "is missing"},
		{"PUT", PUT_CLIENT, "{\"providers\":\"zoho_crm\"}", "providers", "array of texts"},
		{"PUT", PUT_CLIENT, "{\"providers\":{}}", "providers", "array of texts"},
		{"PUT", PUT_CLIENT, "{\"providers\":[\"zoho_crm\",1]}", "providers[1]", "a text"},
		{"PUT", PUT_CLIENT, "{\"providers\":[\"a\\u0001\"]}", "providers[0]", "a text"},
	};

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		struct web_request r =
			ask_with(*state, cases[i].method, cases[i].uri, cases[i].body);

		if (ask_read(&r) != ERR_INPUT)
			fail_msg("%s is taken", cases[i].body);
		if (!ask_faults(&r, cases[i].field, cases[i].reason))
			fail_msg("%s: %s: %s", cases[i].body, r.w->faults[0].field,
				r.w->faults[0].reason);
	}
}

static void every_fault_is_told_at_once(void **state)
{
	struct web_request r = ask_with(*state, "POST", "/api/oauth/reauthorize/.x?y=1",
		"{\"provider\":\"nobody\",\"reason\":7,\"z\":1}");

	assert_int_equal(ask_read(&r), ERR_INPUT);
	assert_int_equal(r.w->fault_count, 5);
	assert_true(ask_faults(&r, "clientId", "") && ask_faults(&r, "y", "") &&
		    ask_faults(&r, "provider", "") && ask_faults(&r, "reason", "") &&
		    ask_faults(&r, "z", ""));
}

static void the_size_comes_before_the_type_and_the_type_before_the_fields(void **state)
{
	static const char *const types[] = {NULL, "text/plain", "application/jsonx",
		"application/x-www-form-urlencoded", "application/json-patch", "application"};
	struct web_request r;

	for (size_t i = 0; i < UNIT_COUNT(types); i++) {
		r = ask_with(*state, "POST", REAUTHORIZE "?y=1", "{\"x\":1}");
		r.raw.content_type = types[i];
		assert_int_equal(ask_read(&r), ERR_MEDIA_TYPE);
		assert_int_equal(r.w->fault_count, 0);
		r.raw.body_too_large = 1;
		assert_int_equal(web_request_read_fields(&r), ERR_TOO_LARGE);
	}
}

/* start, and n times before<number>after */
static const char *pairs(
	struct work *w, const char *start, int n, const char *before, const char *after)
{
	struct buf buf;

	buf_init(&buf, w, 65536);
	buf_text(&buf, start);
	for (int i = 0; i < n; i++)
		buf_printf(&buf, "%s%d%s", before, i, after);
	assert_false(buf.overflow);
	return buf.data;
}

static void the_callback_ignores_what_it_does_not_know(void **state)
{
	struct service *s = *state;
	struct web_request r = ask(s, "GET",
		"/api/oauth/callback/zoho_crm?code=a%2Fb+c&unknown=1&&location=eu&empty=&bare&"
		"accounts-server=https%3A%2F%2Faccounts.zoho.eu&state=S&");

	assert_int_equal(ask_read(&r), ERR_OK);
	assert_string_equal(web_request_query_param(&r, "code"), "a/b c");
	assert_string_equal(web_request_query_param(&r, "location"), "eu");
	assert_string_equal(
		web_request_query_param(&r, "accounts-server"), "https://accounts.zoho.eu");
	assert_string_equal(web_request_query_param(&r, "state"), "S");
	assert_string_equal(web_request_query_param(&r, "empty"), "");
	assert_string_equal(web_request_query_param(&r, "bare"), "");
	assert_null(web_request_query_param(&r, "cod"));
	assert_null(web_request_query_param(&r, "error"));
}

static void there_may_be_sixty_four_parameters(void **state)
{
	struct service *s = *state;
	const char *callback = "/api/oauth/callback/zoho_crm?";
	char many[5000] = HEALTH "?limit=1";
	struct web_request r = ask(s, "GET", pairs(&s->w, callback, 64, "p", "=1&"));

	assert_int_equal(ask_read(&r), ERR_OK);
	assert_string_equal(web_request_query_param(&r, "p63"), "1");
	r = ask(s, "GET", pairs(&s->w, callback, 65, "p", "=1&"));
	assert_int_equal(ask_read(&r), ERR_INPUT);
	assert_true(ask_faults(&r, "query", "too many"));
	r = ask(s, "GET", pairs(&s->w, HEALTH "?", 65, "p", "=1&"));
	assert_int_equal(ask_read(&r), ERR_INPUT);
	assert_true(ask_faults(&r, "query", "too many"));
	memset(many + strlen(many), '&', sizeof(many) - 1 - strlen(many));
	r = ask(s, "GET", arena_strndup(&s->w.arena, many, sizeof(many) - 1));
	assert_int_equal(ask_read(&r), ERR_OK);
}

static void a_body_of_a_thousand_faults_names_some(void **state)
{
	struct service *s = *state;
	struct web_request r = ask_with(s, "POST", EMERGENCY,
		work_printf(&s->w, "%s\"end\":1}", pairs(&s->w, "{", 1000, "\"f", "\":1,")));

	assert_int_equal(ask_read(&r), ERR_INPUT);
	assert_int_equal(r.w->fault_count, WORK_FIELD_FAULTS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVICE_TEST(declared_fields_are_read),
		SERVICE_TEST(what_is_optional_may_be_absent),
		SERVICE_TEST(queries_are_refused_with_the_field_named),
		SERVICE_TEST(bodies_are_refused_with_the_field_named),
		SERVICE_TEST(every_fault_is_told_at_once),
		SERVICE_TEST(the_size_comes_before_the_type_and_the_type_before_the_fields),
		SERVICE_TEST(the_callback_ignores_what_it_does_not_know),
		SERVICE_TEST(there_may_be_sixty_four_parameters),
		SERVICE_TEST(a_body_of_a_thousand_faults_names_some),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
