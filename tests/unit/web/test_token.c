/* GET /api/oauth/token/:clientId: what the database is asked, and what of its answer goes out. */
#include "ask.h"

#include "base/jin.h"
#include "base/text.h"
#include "web/reply.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define URI "/api/oauth/token/acme?provider=zoho_crm"
#define TOKEN "1000.access-7f21"

/* What the database serves: the token, or only its generation. */
static void serve(struct service *s, int with_token)
{
	fake_db_no_rows(STMT_TOKEN_READ);
	FAKE_DB_ROW(STMT_TOKEN_READ, "42", "7",
		with_token ? service_sealed(s, "access", 7, TOKEN) : NULL, "Bearer",
		"2026-01-31T12:00:00.000Z", "3000", NULL, "eu", "f", "t", "f");
	fake_db_forget();
}

static enum err get(struct service *s, const char *uri, const char *if_none_match)
{
	struct web_request r = ask(s, "GET", uri);
	enum err err;

	r.raw.if_none_match = if_none_match;
	err = ask_read(&r);
	return err ? err : r.route->handle(&r);
}

static void the_caller_s_generations_are_asked_with(void **state)
{
	static const struct {
		const char *if_none_match, *generations;
	} cases[] = {
		{NULL, "{}"},
		{"\"7\"", "{7}"},
		{"\"9223372036854775807\"", "{9223372036854775807}"},
		/* a weak tag is as good */
		{"W/\"7\"", "{7}"},
		{"W/\"7\", \"8\", W/\"9\"", "{7,8,9}"},
		{"w/\"7\"", "{}"},
		{"W/", "{}"},
		{"W/7", "{}"},
		{"W \"7\"", "{}"},
		/* lists */
		{"\"7\", \"8\"", "{7,8}"},
		{"\"8\",\"7\"", "{8,7}"},
		{"\"7\" ", "{7}"},
		{"\"7\" ,\t \"8\" , ", "{7,8}"},
		{",, \"7\",,", "{7}"},
		{"\"x\", \"7\", \"-8\", \"\", W/\"9\"", "{7,9}"},
		{"\"a,b\", \"7\"", "{7}"},
		{"\"7,8\"", "{}"},
		{"\"a,\", \"7\", \",8,\"", "{7}"},
		/* any tag: none of ours is named */
		{"*", "{}"},
		{"\"*\"", "{}"},
		/* garbage */
		{"", "{}"},
		{" ", "{}"},
		{",", "{}"},
		{"7", "{}"},
		{"7\"", "{}"},
		{"7, 8", "{}"},
		{"\"\"", "{}"},
		{"\"", "{}"},
		{"\"7", "{}"},
		{"\"7x", "{}"},
		{"\"0\"", "{}"},
		{"\"07\"", "{}"},
		{"\"-7\"", "{}"},
		{"\"+7\"", "{}"},
		{"\" 7\"", "{}"},
		{"\"7 \"", "{}"},
		{"\"7x\"", "{}"},
		{"\"7}\"", "{}"},
		{"\"7\"x", "{}"},
		{"\"7\"\"8\"", "{}"},
		{"'7'", "{}"},
		{"{7}", "{}"},
		{"\"9223372036854775808\"", "{}"},
		{"\"00000000000000000000000000000000000000007\"", "{}"},
	};
	struct service *s = *state;

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		serve(s, 1);
		assert_int_equal(get(s, URI, cases[i].if_none_match), ERR_OK);
		unit_same(cases[i].if_none_match ? cases[i].if_none_match : "(null)",
			fake_db_param(STMT_TOKEN_READ, 0, 3), cases[i].generations);
		assert_int_equal(fake_accept_status(), 200);
	}
}

/* Whatever its length, what the database gets is an array. */
static void a_long_list_is_cut_between_its_tags(void **state)
{
	enum { TAGS = 2000, MAX_BYTES = 16 * TAGS };
	struct service *s = *state;
	char *header = work_alloc(&s->w, MAX_BYTES);
	const char *known, *at;
	size_t n = 0;

	for (int i = 0; i < TAGS; i++)
		n += (size_t)snprintf(header + n, MAX_BYTES - n, "\"%d\", ", 1000000 + i);
	serve(s, 1);
	assert_int_equal(get(s, URI, header), ERR_OK);
	known = fake_db_param(STMT_TOKEN_READ, 0, 3);
	assert_true(text_starts(known, "{1000000,1000001,"));
	for (at = known + 1; isdigit((unsigned char)*at); at += at[7] == ',' ? 8 : 7)
		assert_int_equal(strspn(at, "0123456789"), 7);
	assert_string_equal(at, "}");
	assert_int_equal(at[-1] == ',', 0);
}

static void the_token_goes_out_with_its_generation(void **state)
{
	struct service *s = *state;
	const char *body;
	json_t *json;

	serve(s, 1);
	assert_int_equal(get(s, URI, NULL), ERR_OK);
	unit_same("ETag", fake_accept_header("ETag"), "\"7\"");
	unit_same("cache", fake_accept_header("Cache-Control"), "no-store");
	body = fake_accept_body();
	json = jin_parse(&s->w, body, strlen(body));
	unit_same("token", json_string_value(json_object_get(json, "access_token")), TOKEN);
	unit_same("scheme", json_string_value(json_object_get(json, "authorization_scheme")),
		"Zoho-oauthtoken");
	unit_same("api", json_string_value(json_object_get(json, "api_domain")),
		"https://www.zohoapis.eu");
	assert_int_equal(json_integer_value(json_object_get(json, "expires_in")), 3000);
	assert_true(json_is_false(json_object_get(json, "degraded")));
	assert_int_equal(json_object_size(json), 8);
}

static void who_has_it_already_gets_nothing(void **state)
{
	struct service *s = *state;

	serve(s, 0);
	assert_int_equal(get(s, URI, "\"7\""), ERR_OK);
	assert_int_equal(fake_accept_status(), 304);
	unit_same("ETag", fake_accept_header("ETag"), "\"7\"");
	unit_same("body", fake_accept_body(), "");
}

static void min_ttl_is_strict_and_within_what_the_provider_grants(void **state)
{
	struct service *s = *state;

	serve(s, 1);
	assert_int_equal(get(s, URI, NULL), ERR_OK);
	unit_same("min_ttl", fake_db_param(STMT_TOKEN_READ, 0, 4), "60");
	unit_same("strict", fake_db_param(STMT_TOKEN_READ, 0, 5), "f");
	serve(s, 1);
	assert_int_equal(get(s, URI "&min_ttl=0", NULL), ERR_OK);
	unit_same("min_ttl", fake_db_param(STMT_TOKEN_READ, 0, 4), "0");
	unit_same("strict", fake_db_param(STMT_TOKEN_READ, 0, 5), "t");
	serve(s, 1);
	assert_int_equal(get(s, URI "&min_ttl=3600", NULL), ERR_OK);
	serve(s, 1);
	assert_int_equal(get(s, URI "&min_ttl=3601", NULL), ERR_INPUT);
	assert_int_equal(fake_db_total(), 0);
	assert_int_equal(fake_accept_writes(), 0);
}

/* A blob that was moved from another place does not open. */
static void a_token_of_another_generation_is_not_given(void **state)
{
	struct service *s = *state;

	FAKE_DB_ROW(STMT_TOKEN_READ, "42", "8", service_sealed(s, "access", 7, TOKEN), "Bearer",
		NULL, NULL, NULL, "eu", "f", "t", "f");
	assert_int_equal(get(s, URI, NULL), ERR_SEALED);
	assert_int_equal(fake_accept_writes(), 0);
}

/* The status that makes nginx run the request again in the provider pool, whatever is accepted. */
static void a_read_that_needs_a_renewal_goes_to_the_other_pool(void **state)
{
	static const char *const accepts[] = {NULL, "application/json", "text/html"};
	struct service *s = *state;

	FAKE_DB_ROW(
		STMT_TOKEN_READ, "42", "7", NULL, "Bearer", NULL, "30", NULL, "eu", "t", "f", "t");
	for (size_t i = 0; i < UNIT_COUNT(accepts); i++) {
		struct web_request r = ask(s, "GET", URI);

		r.raw.accept = accepts[i];
		fake_db_forget();
		assert_int_equal(ask_read(&r), ERR_OK);
		assert_int_equal(r.route->handle(&r), ERR_RENEWAL_NEEDED);
		assert_int_equal(fake_accept_writes(), 0);
		web_reply_error(&r, ERR_RENEWAL_NEEDED, NULL);
		assert_int_equal(fake_accept_status(), 521);
		assert_int_equal(fake_db_total(), 1);
	}
}

static void nginx_may_ask_for_it_as_it_is(void **state)
{
	struct service *s = *state;
	struct web_request r = ask(s, "GET", URI);

	serve(s, 1);
	r.raw.as_it_is = 1;
	assert_int_equal(ask_read(&r), ERR_OK);
	assert_int_equal(r.route->handle(&r), ERR_OK);
	unit_same("first", fake_db_param(STMT_TOKEN_READ, 0, 13), "f");
	serve(s, 1);
	assert_int_equal(get(s, URI, NULL), ERR_OK);
	unit_same("first", fake_db_param(STMT_TOKEN_READ, 0, 13), "t");
}

static void nothing_to_serve_says_whose_turn_it_is(void **state)
{
	static const struct {
		const char *status;
		enum err err;
		int status_code;
		const char *retry_after;
	} cases[] = {
		{"missing", ERR_REAUTHORIZATION_REQUIRED, 409, NULL},
		{"invalid", ERR_REAUTHORIZATION_REQUIRED, 409, NULL},
		{"expired", ERR_TOKEN_UNAVAILABLE, 503, "30"},
		{"unreachable", ERR_TOKEN_UNAVAILABLE, 503, "30"},
		{"quarantined", ERR_TOKEN_UNAVAILABLE, 503, "30"},
	};
	struct service *s = *state;

	FAKE_DB_ROW(STMT_TOKEN_READ, "42", "7", NULL, NULL, NULL, NULL, NULL, "eu", "f", "f", "f");
	FAKE_DB_ROW(
		STMT_RENEWAL_LOOK, "7", "live", "none", "f", NULL, NULL, NULL, "t", "0", NULL, "0");
	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		struct web_request r = ask(s, "GET", URI);

		fake_db_no_rows(STMT_REPORT_ONE);
		FAKE_DB_ROW(STMT_REPORT_ONE, cases[i].status, "none");
		fake_db_forget();
		assert_int_equal(ask_read(&r), ERR_OK);
		assert_int_equal(r.route->handle(&r), cases[i].err);
		unit_same("action", fake_db_param(STMT_AUDIT_ADD, 0, 8), "token.read");
		unit_same("outcome", fake_db_param(STMT_AUDIT_ADD, 0, 9), "denied");
		web_reply_error(&r, cases[i].err, NULL);
		assert_int_equal(fake_accept_status(), cases[i].status_code);
		unit_same(cases[i].status, fake_accept_header("Retry-After"), cases[i].retry_after);
	}
}

static void an_unknown_client_is_told_from_an_unknown_connection(void **state)
{
	struct service *s = *state;

	assert_int_equal(get(s, URI, NULL), ERR_CLIENT_UNKNOWN);
	FAKE_DB_ROW(STMT_CLIENT_GET, "acme", "Acme");
	assert_int_equal(get(s, URI, NULL), ERR_CONNECTION_UNKNOWN);
	assert_int_equal(fake_accept_writes(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVICE_TEST(the_caller_s_generations_are_asked_with),
		SERVICE_TEST(a_long_list_is_cut_between_its_tags),
		SERVICE_TEST(the_token_goes_out_with_its_generation),
		SERVICE_TEST(who_has_it_already_gets_nothing),
		SERVICE_TEST(min_ttl_is_strict_and_within_what_the_provider_grants),
		SERVICE_TEST(a_token_of_another_generation_is_not_given),
		SERVICE_TEST(a_read_that_needs_a_renewal_goes_to_the_other_pool),
		SERVICE_TEST(nginx_may_ask_for_it_as_it_is),
		SERVICE_TEST(nothing_to_serve_says_whose_turn_it_is),
		SERVICE_TEST(an_unknown_client_is_told_from_an_unknown_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
