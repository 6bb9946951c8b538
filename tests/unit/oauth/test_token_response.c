/* Token answers, honest and hostile. */
#include "fixture.h"

#include "base/text.h"
#include "oauth/answer.h"
#include "oauth/pointer.h"
#include "oauth/token_response.h"

#include <string.h>

static json_t *parse(struct fixture *f, const char *body)
{
	struct oauth_http_answer answer =
		fixture_answer(f, 200, "application/json", body, strlen(body));
	json_t *json = oauth_answer_parse(&f->w, &answer);

	if (!json)
		fail_msg("cannot be parsed: %s", body);
	return json;
}

static struct oauth_token read_ok(struct fixture *f, const char *provider, const char *body)
{
	const struct oauth_provider *p = fixture_provider(f, provider);
	struct oauth_token token;

	if (oauth_token_response_read(
		    &f->w, p, oauth_provider_datacenter(p, "eu"), parse(f, body), &token))
		fail_msg("%s: %s", body, f->w.cause);
	return token;
}

static void test_zoho_answer_is_read(void **state)
{
	struct oauth_token token = read_ok(*state, "zoho_crm",
		"{\"access_token\":\"1000.a.b\",\"refresh_token\":\"1000.c.d\",\"api_domain\":"
		"\"https://www.zohoapis.eu\","
		"\"token_type\":\"Bearer\",\"expires_in\":3600,\"scope\":\"A.READ "
		"B.ALL\",\"extra\":{\"x\":[1]}}");

	assert_true(fixture_holds(token.access, "1000.a.b"));
	assert_true(fixture_holds(token.refresh, "1000.c.d"));
	assert_string_equal(token.token_type, "Bearer");
	assert_int_equal(token.expires_in_s, 3600);
	assert_int_equal(token.refresh_expires_in_s, -1);
	assert_string_equal(token.scope, "A.READ B.ALL");
	assert_string_equal(token.api_domain, "https://www.zohoapis.eu");
	assert_false(token.api_domain_refused);
}

static void test_absent_and_empty_are_the_same(void **state)
{
	static const char *const bodies[] = {"{\"access_token\":\"a\"}",
		"{\"access_token\":\"a\",\"refresh_token\":\"\",\"scope\":\"\",\"token_type\":\"\","
		"\"api_domain\":\"\"}",
		"{\"access_token\":\"a\",\"refresh_token\":null,\"scope\":null,\"token_type\":null,"
		"\"api_domain\":null}"};

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct oauth_token token = read_ok(*state, "zoho_crm", bodies[i]);

		assert_null(token.refresh);
		assert_null(token.scope);
		assert_null(token.api_domain);
		assert_false(token.api_domain_refused);
		assert_string_equal(token.token_type, "Bearer");
		assert_int_equal(token.expires_in_s, 3600);
	}
}

static void test_lifetimes_in_every_shape(void **state)
{
	static const struct {
		const char *members;
		int64_t expected_s;
	} cases[] = {
		{"\"expires_in\":3599", 3599},
		{"\"expires_in\":\"1800\"", 1800},
		{"\"expires_in\":3599.7", 3599},
		{"\"expires_in\":1", 1},
		{"\"expires_in\":7200", 7200},
		{"\"expires_in\":7776000", 7776000}, /* 90 days, as some do grant */
		{"\"expires_in\":3600000", 3600},    /* Zoho's legacy milliseconds */
		{"\"expires_in\":\"3600000\"", 3600},
		{"\"expires_in\":3599000", 3599},
		{"\"expires_in\":3600000,\"expires_in_sec\":3600", 3600},
		{"\"expires_in\":3600000,\"expires_in_sec\":1200", 1200},
		{"\"expires_in_sec\":\"1200\"", 1200},
		{"\"expires_in\":3600000,\"expires_in_sec\":-1", 3600},
		{"\"expires_in\":0", 3600},
		{"\"expires_in\":-1", 3600},
		{"\"expires_in\":\"-1\"", 3600},
		{"\"expires_in\":0.5", 3600},
		{"\"expires_in\":-3600.5", 3600},
		{"\"expires_in\":1e300", 3600},
		{"\"expires_in\":9223372036854775807", 3600},
		{"\"expires_in\":999999999999", 3600},
		{"\"expires_in\":\"9223372036854775808\"", 3600},
		{"\"expires_in\":\"3600s\"", 3600},
		{"\"expires_in\":\" 3600\"", 3600},
		{"\"expires_in\":\"\"", 3600},
		{"\"expires_in\":null", 3600},
		{"\"expires_in\":true", 3600},
		{"\"expires_in\":[3600]", 3600},
		{"\"expires_in\":{\"s\":1}", 3600},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *body =
			work_printf(&f->w, "{\"access_token\":\"a\",%s}", cases[i].members);
		int64_t seen_s = read_ok(f, "zoho_crm", body).expires_in_s;

		if (seen_s != cases[i].expected_s)
			fail_msg("%s: %lld", cases[i].members, (long long)seen_s);
	}
}

static void test_a_short_expectation_does_not_make_milliseconds(void **state)
{
	struct fixture *f = *state;
	struct oauth_provider provider = *fixture_provider(f, "rfc");
	struct oauth_token token;

	provider.access_ttl_s = 60;
	assert_int_equal(oauth_token_response_read(&f->w, &provider, NULL,
				 parse(f, "{\"access_token\":\"a\",\"expires_in\":7200}"), &token),
		ERR_OK);
	assert_int_equal(token.expires_in_s, 7200);
	assert_int_equal(oauth_token_response_read(&f->w, &provider, NULL,
				 parse(f, "{\"access_token\":\"a\",\"expires_in\":60000}"), &token),
		ERR_OK);
	assert_int_equal(token.expires_in_s, 60);
}

static void test_tokens_without_end(void **state)
{
	struct fixture *f = *state;
	struct oauth_provider provider = *fixture_provider(f, "rfc");
	struct oauth_token token;

	provider.expires = 0;
	assert_int_equal(oauth_token_response_read(&f->w, &provider, NULL,
				 parse(f, "{\"access_token\":\"a\"}"), &token),
		ERR_OK);
	assert_int_equal(token.expires_in_s, -1);
}

static void test_pointers_of_the_definition_are_followed(void **state)
{
	struct oauth_token token = read_ok(*state, "probed",
		"{\"access_token\":\"wrong\",\"instance_url\":\"https://"
		"eu1.api.example\",\"x_refresh_token_expires_in\":8640000,"
		"\"expires_in\":5,\"expires_in_sec\":6,\"authed\":{\"token\":\"right\",\"refresh\":"
		"\"r\",\"kind\":\"bearer\","
		"\"lives\":1800,\"scope\":[\"a\",\"b\"]}}");

	assert_true(fixture_holds(token.access, "right"));
	assert_true(fixture_holds(token.refresh, "r"));
	assert_int_equal(token.expires_in_s, 1800);
	assert_int_equal(token.refresh_expires_in_s, 8640000);
	assert_string_equal(token.scope, "a b");
	assert_string_equal(token.api_domain, "https://eu1.api.example");
}

static void test_foreign_api_domains_are_not_kept(void **state)
{
	static const char *const domains[] = {"\"https://evil.example\"",
		"\"https://www.zohoapis.com\"", "\"http://www.zohoapis.eu\"",
		"\"https://www.zohoapis.eu/\"", "7", "[\"https://www.zohoapis.eu\"]"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
		struct oauth_token token = read_ok(f, "zoho_crm",
			work_printf(
				&f->w, "{\"access_token\":\"a\",\"api_domain\":%s}", domains[i]));

		assert_null(token.api_domain);
		assert_true(token.api_domain_refused);
	}
}

static void test_scopes_unfit_to_show_are_not_kept(void **state)
{
	static const char *const scopes[] = {
		"7", "\"a\\u001bb\"", "[\"a\",7]", "[]", "{}", "[\"a\\nb\"]"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++)
		assert_null(read_ok(f, "rfc",
			work_printf(&f->w, "{\"access_token\":\"a\",\"scope\":%s}", scopes[i]))
				    .scope);
}

static void test_token_types_are_compared_without_case(void **state)
{
	static const char *const types[] = {
		"bearer", "BEARER", "Zoho-oauthtoken", "zoho-OAuthToken"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		assert_string_equal(
			read_ok(f, "rfc",
				work_printf(&f->w, "{\"access_token\":\"a\",\"token_type\":\"%s\"}",
					types[i]))
				.token_type,
			types[i]);
}

static const char *fault_of(struct fixture *f, const char *body)
{
	const struct oauth_provider *rfc = fixture_provider(f, "rfc");
	const json_t *json = parse(f, body);
	const char *fault = oauth_token_response_fault(rfc, json);
	struct oauth_token token;

	assert_int_equal(oauth_token_response_read(&f->w, rfc, NULL, json, &token),
		fault ? ERR_TOKEN_REFUSED : ERR_OK);
	work_forgive(&f->w);
	return fault ? fault : "";
}

static char *long_answer(struct fixture *f, size_t n)
{
	char *token = work_alloc(&f->w, n + 1);

	memset(token, 'x', n);
	return work_printf(&f->w, "{\"access_token\":\"%s\"}", token);
}

static void test_what_is_no_token_has_a_name(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(fault_of(f, "[]"), "no_json");
	assert_string_equal(fault_of(f, "\"a\""), "no_json");
	assert_string_equal(fault_of(f, "{}"), "no_access_token");
	assert_string_equal(fault_of(f, "{\"access_token\":\"\"}"), "no_access_token");
	assert_string_equal(fault_of(f, "{\"access_token\":7}"), "bad_access_token");
	assert_string_equal(fault_of(f, "{\"access_token\":{}}"), "bad_access_token");
	assert_string_equal(fault_of(f, "{\"access_token\":\"a\\nb\"}"), "bad_access_token");
	assert_string_equal(
		fault_of(f, "{\"access_token\":\"a\\r\\nX-Evil: 1\"}"), "bad_access_token");
	assert_string_equal(fault_of(f, "{\"access_token\":\"a\\u007f\"}"), "bad_access_token");
	assert_string_equal(fault_of(f, "{\"access_token\":\"\xc3\xa9\"}"), "bad_access_token");
	assert_string_equal(
		fault_of(f, "{\"access_token\":\"a\",\"refresh_token\":[]}"), "bad_refresh_token");
	assert_string_equal(fault_of(f, "{\"access_token\":\"a\",\"refresh_token\":\"\\t\"}"),
		"bad_refresh_token");
	assert_string_equal(fault_of(f, "{\"access_token\":\"a\",\"token_type\":\"mac\"}"),
		"unknown_token_type");
	assert_string_equal(
		fault_of(f, "{\"access_token\":\"a\",\"token_type\":1}"), "unknown_token_type");
	assert_string_equal(fault_of(f, "{\"access_token\":\"a\",\"error\":\"x\"}"), "error");
	assert_string_equal(fault_of(f, "{\"access_token\":\"a\",\"error\":{}}"), "error");
	assert_string_equal(fault_of(f, "{\"access_token\":\"a\",\"ok\":false}"), "not_ok");
	assert_string_equal(fault_of(f, "{\"access_token\":\" ~\"}"), "");
	assert_string_equal(fault_of(f, long_answer(f, OAUTH_TOKEN_MAX_BYTES)), "");
	assert_string_equal(
		fault_of(f, long_answer(f, OAUTH_TOKEN_MAX_BYTES + 1)), "bad_access_token");
}

static json_t *parse_as(struct fixture *f, const char *content_type, const char *body, size_t n)
{
	struct oauth_http_answer answer = fixture_answer(f, 200, content_type, body, n);

	return oauth_answer_parse(&f->w, &answer);
}

static char *nested(struct fixture *f, size_t depth)
{
	char *text = work_alloc(&f->w, depth * 2 + 1);

	memset(text, '[', depth);
	memset(text + depth, ']', depth);
	return text;
}

static void test_bodies_that_cannot_be_read(void **state)
{
	static const char *const bodies[] = {"", "<html>", "{", "{\"a\":1}{\"b\":2}",
		"{\"a\":1,\"a\":2}", "{\"a\":{\"b\":1,\"b\":2}}", "{\"a\":\"\\u0000\"}",
		"{\"a\":\"\xff\"}", "{\"a\":\"\xc0\x80\"}", "{\"a\":\"\xed\xa0\x80\"}",
		"{\"a\":'b'}", "{\"a\":NaN}", "{'a':1}"};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		if (parse_as(f, "application/json", bodies[i], strlen(bodies[i])))
			fail_msg("%s was read", bodies[i]);
	assert_null(parse_as(f, "application/json", "{\"a\":1\0}", 8));
	assert_non_null(parse_as(f, "text/html", nested(f, 16), 32));
	assert_null(parse_as(f, "application/json", nested(f, 17), 34));
	assert_null(parse_as(f, "application/json", nested(f, 100000), 200000));
}

static void test_forms_are_read_when_the_type_says_so(void **state)
{
	static const char form[] = "access_token=a%2Bb+c&refresh_token=&&scope=r%2Cw&";
	static const char type[] = "application/x-www-form-urlencoded";
	static const char *const bad[] = {"a=1&a=2", "a=%", "a=%0", "a=%00", "=b", "a=%ff", "&&"};
	struct fixture *f = *state;
	json_t *json = parse_as(f, type, form, sizeof(form) - 1);

	assert_string_equal(json_string_value(json_object_get(json, "access_token")), "a+b c");
	assert_string_equal(json_string_value(json_object_get(json, "refresh_token")), "");
	assert_string_equal(json_string_value(json_object_get(json, "scope")), "r,w");
	assert_null(parse_as(f, "application/json", form, sizeof(form) - 1));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse_as(f, type, bad[i], strlen(bad[i])))
			fail_msg("%s was read", bad[i]);
	assert_null(parse_as(f, type, "a=b\0c", 5));
}

static void test_pointers_find_what_they_name(void **state)
{
	static const char *const good[] = {"/a/b", "/m~0n", "/x~1y", "/l/0", "/l/1/c", "/"};
	static const char *const missing[] = {"/a/c", "/l/2", "/l/00", "/l/-", "/l/01",
		"/l/9999999", "/a/b/c", "/m", "/a/", "/l/"};
	static const char *const bad[] = {"", "a", "/~", "/~2", "/a~", "/a\n"};
	struct fixture *f = *state;
	const json_t *json = parse(f, "{\"a\":{\"b\":\"1\"},\"m~n\":\"2\",\"x/"
				      "y\":\"3\",\"l\":[\"4\",{\"c\":\"5\"}],\"\":\"6\"}");
	static const char *const values[] = {"1", "2", "3", "4", "5", "6"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(oauth_pointer_is_valid(good[i]));
		assert_string_equal(oauth_pointer_text(json, good[i]), values[i]);
	}
	for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++)
		if (!oauth_pointer_is_valid(missing[i]) || oauth_pointer_get(json, missing[i]))
			fail_msg("%s points to something", missing[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(oauth_pointer_is_valid(bad[i]));
	assert_null(oauth_pointer_get(NULL, "/a"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_zoho_answer_is_read),
		TEST(test_absent_and_empty_are_the_same),
		TEST(test_lifetimes_in_every_shape),
		TEST(test_a_short_expectation_does_not_make_milliseconds),
		TEST(test_tokens_without_end),
		TEST(test_pointers_of_the_definition_are_followed),
		TEST(test_foreign_api_domains_are_not_kept),
		TEST(test_scopes_unfit_to_show_are_not_kept),
		TEST(test_token_types_are_compared_without_case),
		TEST(test_what_is_no_token_has_a_name),
		TEST(test_pointers_find_what_they_name),
		TEST(test_bodies_that_cannot_be_read),
		TEST(test_forms_are_read_when_the_type_says_so),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
