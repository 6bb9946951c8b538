/* The routes that renew: what they take, whom they turn away, what they answer. */
#include "ask.h"

#include "../support/fake_renew.h"

#include "base/jin.h"
#include "web/reply.h"

#include <string.h>

#define REJECTED "/api/oauth/token/acme/rejected"
#define REFRESH "/api/oauth/refresh/acme"
#define REPORT "{\"provider\":\"zoho_crm\",\"generation\":7}"
#define PROVIDER "{\"provider\":\"zoho_crm\"}"

static void lay(struct service *s)
{
	(void)s;
	FAKE_DB_ROW(STMT_CONNECTION_FIND, "42");
	FAKE_DB_ROW(STMT_RENEWAL_LEFT, "3", "7", "7", "live", "none", "0", "0", "f", "f", "t",
		"acme", "zoho_crm", "eu", "1");
}

static void renewed(struct service *s)
{
	(void)s;
	fake_renew_look((struct fake_look){.generation = "8"});
	fake_db_no_rows(STMT_REPORT_ONE);
	FAKE_DB_ROW(STMT_REPORT_ONE, "healthy", "none");
}

static enum err post(
	struct service *s, const char *uri, const char *body, const struct store_scope *scope)
{
	struct web_request r = ask_with(s, "POST", uri, body);
	enum err err;

	r.places = &fake_renew_places;
	if (scope)
		r.caller.scope = *scope;
	err = ask_read(&r);
	if (!err)
		err = r.route->handle(&r);
	if (err)
		web_reply_error(&r, err, NULL);
	return err;
}

static json_t *answered(struct service *s, size_t members)
{
	const char *body = fake_accept_body();
	json_t *json = jin_parse(&s->w, body, strlen(body));

	assert_int_equal(fake_accept_status(), 200);
	assert_int_equal(json_object_size(json), members);
	return json;
}

static void a_report_is_answered_with_the_generation(void **state)
{
	struct service *s = *state;
	json_t *json;

	lay(s);
	fake_renew_answer(ERR_OK, CUSTODY_RENEWED);
	fake_renew_on_call(renewed);
	assert_int_equal(post(s, REJECTED, REPORT, NULL), ERR_OK);
	json = answered(s, 2);
	assert_int_equal(json_integer_value(json_object_get(json, "generation")), 8);
	assert_true(json_is_true(json_object_get(json, "renewed")));
	assert_int_equal(fake_renew_call(0)->generation, 7);
	assert_int_equal(
		post(s, REJECTED, "{\"provider\":\"zoho_crm\",\"generation\":6}", NULL), ERR_OK);
	assert_true(json_is_false(json_object_get(answered(s, 2), "renewed")));
	assert_int_equal(fake_renew_count(), 1);
}

static void a_renewal_by_hand_is_answered_with_the_connection(void **state)
{
	struct service *s = *state;
	json_t *json;

	lay(s);
	fake_renew_answer(ERR_OK, CUSTODY_RENEWED);
	fake_renew_on_call(renewed);
	assert_int_equal(post(s, REFRESH, PROVIDER, NULL), ERR_OK);
	json = answered(s, 5);
	unit_same("client", json_string_value(json_object_get(json, "clientId")), "acme");
	unit_same("provider", json_string_value(json_object_get(json, "provider")), "zoho_crm");
	unit_same("status", json_string_value(json_object_get(json, "status")), "healthy");
	assert_int_equal(json_integer_value(json_object_get(json, "generation")), 8);
	assert_true(json_is_true(json_object_get(json, "renewed")));
}

static void bad_input_renews_nothing(void **state)
{
	static const struct {
		const char *uri, *body, *field;
	} cases[] = {
		{REJECTED, "{}", "provider"},
		{REJECTED, "{\"provider\":\"zoho_crm\"}", "generation"},
		{REJECTED, "{\"provider\":\"nobody\",\"generation\":7}", "provider"},
		{REJECTED, "{\"provider\":\"zoho_crm\",\"generation\":\"7\"}", "generation"},
		{REJECTED, "{\"provider\":\"zoho_crm\",\"generation\":0}", "generation"},
		{REJECTED, "{\"provider\":\"zoho_crm\",\"generation\":-7}", "generation"},
		{REJECTED, "{\"provider\":\"zoho_crm\",\"generation\":7.5}", "generation"},
		{REJECTED, "{\"provider\":\"zoho_crm\",\"generation\":9007199254740992}",
			"generation"},
		{REJECTED, "{\"provider\":\"zoho_crm\",\"generation\":8}", "generation"},
		{REJECTED, "{\"provider\":\"zoho_crm\",\"generation\":7,\"reason\":\"x\"}",
			"reason"},
		{REFRESH, "{}", "provider"},
		{REFRESH, "{\"provider\":7}", "provider"},
		{REFRESH, "{\"provider\":\"zoho_crm\",\"generation\":7}", "generation"},
		{"/api/oauth/refresh/-", PROVIDER, "clientId"},
		{REFRESH "?provider=zoho_crm", PROVIDER, "provider"},
	};
	struct service *s = *state;

	lay(s);
	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		if (post(s, cases[i].uri, cases[i].body, NULL) != ERR_INPUT)
			fail_msg("%s %s", cases[i].uri, cases[i].body);
		unit_same(cases[i].body, s->w.faults[0].field, cases[i].field);
		assert_int_equal(fake_accept_status(), 400);
	}
	assert_int_equal(fake_renew_count(), 0);
}

static void what_is_out_of_scope_is_unknown(void **state)
{
	static const char *const other_client[] = {"other"}, *const other_provider[] = {
								     "zoho_calendar"};
	const struct store_scope scopes[] = {{.clients = other_client, .client_count = 1},
		{.providers = other_provider, .provider_count = 1}};
	struct service *s = *state;

	lay(s);
	for (size_t i = 0; i < UNIT_COUNT(scopes); i++) {
		fake_db_forget();
		assert_int_equal(post(s, REJECTED, REPORT, &scopes[i]), ERR_CLIENT_UNKNOWN);
		assert_int_equal(fake_accept_status(), 404);
		assert_int_equal(post(s, REFRESH, PROVIDER, &scopes[i]), ERR_CLIENT_UNKNOWN);
		assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 2);
		assert_int_equal(fake_db_total(), 2);
		unit_same("action", fake_db_param(STMT_AUDIT_ADD, 0, 8), "auth.failed");
	}
	assert_int_equal(fake_renew_count(), 0);
}

static void deferred(struct service *s)
{
	(void)s;
	fake_renew_look((struct fake_look){.deferred_by = "quota", .next_in_s = "77"});
}

static void a_refusal_says_when_and_why(void **state)
{
	struct service *s = *state;

	lay(s);
	fake_renew_answer(ERR_OK, CUSTODY_DEFERRED);
	fake_renew_on_call(deferred);
	assert_int_equal(post(s, REFRESH, PROVIDER, NULL), ERR_RENEWAL_DEFERRED);
	assert_int_equal(fake_accept_status(), 503);
	unit_same("wait", fake_accept_header("Retry-After"), "77");
	unit_holds("body", fake_accept_body(), "urn:vestal:error:renewal_deferred");
	unit_holds("body", fake_accept_body(), "quota");
	assert_int_equal(post(s, REJECTED, REPORT, NULL), ERR_TOKEN_UNAVAILABLE);
	unit_same("wait", fake_accept_header("Retry-After"), "77");
	unit_holds("body", fake_accept_body(), "urn:vestal:error:token_unavailable");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAKE_RENEW_TEST(a_report_is_answered_with_the_generation),
		FAKE_RENEW_TEST(a_renewal_by_hand_is_answered_with_the_connection),
		FAKE_RENEW_TEST(bad_input_renews_nothing),
		FAKE_RENEW_TEST(what_is_out_of_scope_is_unknown),
		FAKE_RENEW_TEST(a_refusal_says_when_and_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
