/* The requests: what is said to which address, and how the app proves itself. */
#include "fixture.h"

#include "base/text.h"
#include "oauth/probe.h"
#include "oauth/token_request.h"

#include <jansson.h>
#include <string.h>

#define FORM "application/x-www-form-urlencoded"

static struct oauth_app app(struct fixture *f)
{
	return (struct oauth_app){
		"cl:ient", fixture_secret(f, "s&cr/et+ %"), "https://v.example/cb?a=b"};
}

static struct oauth_target zoho(struct fixture *f, const char *datacenter)
{
	const struct oauth_provider *crm = fixture_provider(f, "zoho_crm");

	return (struct oauth_target){
		.provider = crm, .datacenter = oauth_provider_datacenter(crm, datacenter)};
}

static const char *header(const struct oauth_http_request *request, const char *name)
{
	for (size_t i = 0; i < request->headers.count; i++)
		if (text_equal(request->headers.items[i].name, name))
			return request->headers.items[i].value;
	return NULL;
}

static void test_code_exchange_by_post(void **state)
{
	struct fixture *f = *state;
	struct oauth_target target = zoho(f, "in");
	struct oauth_app a = app(f);
	struct oauth_http_request request;

	assert_int_equal(oauth_token_request_code(&f->w, &target, &a, fixture_secret(f, "1000.c+d"),
				 fixture_secret(f, "ver-ifier"), &request),
		ERR_OK);
	assert_int_equal(request.method, OAUTH_METHOD_POST);
	assert_string_equal(request.url, "https://accounts.zoho.in/oauth/v2/token");
	assert_string_equal(request.origin, "https://accounts.zoho.in");
	assert_string_equal(request.content_type, FORM);
	assert_null(request.credential);
	assert_false(request.allow_loopback);
	assert_true(fixture_holds(request.body,
		"grant_type=authorization_code&code=1000.c%2Bd&redirect_uri=https%3A%2F%2Fv."
		"example%2Fcb%3Fa%3Db"
		"&code_verifier=ver-ifier&client_id=cl%3Aient&client_secret=s%26cr%2Fet%2B%20%25"));
	assert_string_equal(header(&request, "Accept"), "application/json");
	assert_string_equal(header(&request, "Accept-Language"), "en");
	assert_string_equal(header(&request, "User-Agent"), "Vestal");
}

static void test_refresh_by_post_names_no_scope(void **state)
{
	struct fixture *f = *state;
	struct oauth_target target = zoho(f, "us");
	struct oauth_app a = app(f);
	struct oauth_http_request request;

	assert_int_equal(oauth_token_request_refresh(
				 &f->w, &target, &a, fixture_secret(f, "1000.r"), &request),
		ERR_OK);
	assert_true(
		fixture_holds(request.body, "grant_type=refresh_token&refresh_token=1000.r&client_"
					    "id=cl%3Aient&client_secret=s%26cr%2Fet%2B%20%25"));
}

static void test_a_public_client_sends_its_id_alone(void **state)
{
	struct fixture *f = *state;
	struct oauth_target target = zoho(f, "us");
	struct oauth_app public = {"id", NULL, "https://v.example/cb"};
	struct oauth_http_request request;

	assert_int_equal(oauth_token_request_refresh(
				 &f->w, &target, &public, fixture_secret(f, "r"), &request),
		ERR_OK);
	assert_true(fixture_holds(
		request.body, "grant_type=refresh_token&refresh_token=r&client_id=id"));
}

static void test_basic_is_form_encoded_first_unless_raw(void **state)
{
	struct fixture *f = *state;
	struct oauth_provider provider = *fixture_provider(f, "rfc");
	struct oauth_target target = {.provider = &provider};
	struct oauth_app a = app(f);
	struct oauth_http_request request;

	assert_int_equal(
		oauth_token_request_refresh(&f->w, &target, &a, fixture_secret(f, "r"), &request),
		ERR_OK);
	assert_true(fixture_holds(request.body, "grant_type=refresh_token&refresh_token=r"));
	assert_string_equal(request.scheme, "Basic");
	/* cl%3Aient:s%26cr%2Fet%2B%20%25 */
	assert_true(fixture_holds(request.credential, "Y2wlM0FpZW50OnMlMjZjciUyRmV0JTJCJTIwJTI1"));
	provider.client_auth = OAUTH_CLIENT_AUTH_BASIC_RAW;
	assert_int_equal(
		oauth_token_request_refresh(&f->w, &target, &a, fixture_secret(f, "r"), &request),
		ERR_OK);
	/* cl:ient:s&cr/et+ % */
	assert_true(fixture_holds(request.credential, "Y2w6aWVudDpzJmNyL2V0KyAl"));
}

static void test_zoho_revocation_carries_the_token_alone(void **state)
{
	struct fixture *f = *state;
	struct oauth_target target = zoho(f, "eu");
	struct oauth_app a = app(f);
	struct oauth_http_request request;

	assert_int_equal(oauth_token_request_revoke(
				 &f->w, &target, &a, fixture_secret(f, "1000.r"), NULL, &request),
		ERR_OK);
	assert_string_equal(request.url, "https://accounts.zoho.eu/oauth/v2/token/revoke");
	assert_true(fixture_holds(request.body, "token=1000.r"));
	assert_null(request.credential);
}

static void test_revocation_follows_the_definition(void **state)
{
	struct fixture *f = *state;
	struct oauth_provider provider = *fixture_provider(f, "rfc");
	struct oauth_target target = {.provider = &provider};
	struct oauth_app a = app(f);
	struct oauth_http_request request;

	assert_int_equal(oauth_token_request_revoke(&f->w, &target, &a, fixture_secret(f, "r"),
				 "refresh_token", &request),
		ERR_OK);
	assert_true(fixture_holds(request.body, "token=r&token_type_hint=refresh_token"));
	assert_string_equal(request.scheme, "Basic");
	provider.revoke = (struct oauth_revoke){
		OAUTH_METHOD_DELETE, OAUTH_ENCODING_JSON, OAUTH_CLIENT_AUTH_POST, "access_token"};
	assert_int_equal(oauth_token_request_revoke(
				 &f->w, &target, &a, fixture_secret(f, "r\"x"), NULL, &request),
		ERR_OK);
	assert_int_equal(request.method, OAUTH_METHOD_DELETE);
	assert_string_equal(request.content_type, "application/json");
	assert_true(fixture_holds(request.body, "{\"access_token\":\"r\\\"x\",\"client_id\":\"cl:"
						"ient\",\"client_secret\":\"s&cr/et+ %\"}"));
	provider.revoke_url = NULL;
	assert_int_equal(oauth_token_request_revoke(
				 &f->w, &target, &a, fixture_secret(f, "r"), NULL, &request),
		ERR_NOT_FOUND);
}

static void test_definitions_headers_go_to_the_token_endpoint(void **state)
{
	static const struct oauth_pair own[] = {
		{"x-extra", "true"}, {"accept", "application/vnd.x+json"}};
	struct fixture *f = *state;
	struct oauth_provider provider = *fixture_provider(f, "probed");
	struct oauth_target target = {.provider = &provider};
	struct oauth_app a = app(f);
	struct oauth_http_request request;
	enum oauth_at at;

	provider.headers = (struct oauth_pairs){own, 2};
	assert_int_equal(
		oauth_token_request_refresh(&f->w, &target, &a, fixture_secret(f, "r"), &request),
		ERR_OK);
	assert_string_equal(header(&request, "x-extra"), "true");
	assert_string_equal(header(&request, "accept"), "application/vnd.x+json");
	assert_null(header(&request, "Accept"));
	assert_int_equal(
		oauth_probe_request(&f->w, &target, &a, fixture_secret(f, "t"), &request, &at),
		ERR_OK);
	assert_null(header(&request, "x-extra"));
}

static void test_app_proof_is_an_exchange_of_no_real_code(void **state)
{
	struct fixture *f = *state;
	struct oauth_target target = zoho(f, "us");
	struct oauth_app a = app(f);
	struct oauth_http_request request;
	const char *body;

	assert_int_equal(oauth_token_request_app_proof(&f->w, &target, &a, &request), ERR_OK);
	body = secret_reveal(request.body);
	assert_true(text_starts(
		body, "grant_type=authorization_code&code=vestal-app-proof&redirect_uri="));
	assert_non_null(strstr(body, "&client_secret="));
	assert_null(strstr(body, "refresh_token"));
}

static void test_probe_shows_the_token_in_its_header_only(void **state)
{
	struct fixture *f = *state;
	struct oauth_target target = zoho(f, "sa");
	struct oauth_app a = app(f);
	struct oauth_http_request request;
	enum oauth_at at;

	assert_int_equal(
		oauth_probe_request(&f->w, &target, &a, fixture_secret(f, "1000.t"), &request, &at),
		ERR_OK);
	assert_int_equal(at, OAUTH_AT_PROBE);
	assert_int_equal(request.method, OAUTH_METHOD_GET);
	assert_string_equal(request.url, "https://www.zohoapis.sa/crm/v8/users?type=CurrentUser");
	assert_string_equal(request.scheme, "Zoho-oauthtoken");
	assert_true(fixture_holds(request.credential, "1000.t"));
	assert_null(request.body);
}

static void test_probe_is_introspection_where_nothing_else_is(void **state)
{
	struct fixture *f = *state;
	struct oauth_provider provider = *fixture_provider(f, "rfc");
	struct oauth_target target = {.provider = &provider};
	struct oauth_app a = app(f);
	struct oauth_http_request request;
	enum oauth_at at;

	assert_int_equal(
		oauth_probe_request(&f->w, &target, &a, fixture_secret(f, "t"), &request, &at),
		ERR_OK);
	assert_int_equal(at, OAUTH_AT_INTROSPECT);
	assert_string_equal(request.url, "https://login.example/introspect");
	assert_true(fixture_holds(request.body, "token=t"));
	assert_string_equal(request.scheme, "Basic");
	provider.introspect_url = NULL;
	assert_int_equal(
		oauth_probe_request(&f->w, &target, &a, fixture_secret(f, "t"), &request, &at),
		ERR_NOT_FOUND);
}

static const char *identity(struct fixture *f, int status, const char *body)
{
	const struct oauth_provider *crm = fixture_provider(f, "zoho_crm");
	struct oauth_http_answer answer =
		fixture_answer(f, status, "application/json", body, strlen(body));
	json_t *json = json_loads(body, 0, NULL);
	const char *account = oauth_probe_identity(&f->w, crm, &answer, json);

	json_decref(json);
	return account;
}

static void test_identity_is_a_text_or_a_number(void **state)
{
	struct fixture *f = *state;
	struct oauth_target target = zoho(f, "uk");
	struct oauth_http_request request;

	assert_int_equal(
		oauth_probe_identity_request(&f->w, &target, fixture_secret(f, "t"), &request),
		ERR_OK);
	assert_string_equal(request.url, "https://accounts.zoho.uk/oauth/user/info");
	assert_string_equal(identity(f, 200, "{\"ZUID\":\"6900\"}"), "6900");
	assert_string_equal(identity(f, 200, "{\"ZUID\":55163869989}"), "55163869989");
	assert_null(identity(f, 401, "{\"ZUID\":\"6900\"}"));
	assert_null(identity(f, 200, "{\"ZUID\":\"\"}"));
	assert_null(identity(f, 200, "{\"ZUID\":\"a\\nb\"}"));
	assert_null(identity(f, 200, "{\"ZUID\":[1]}"));
	assert_null(identity(f, 200, "{}"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_code_exchange_by_post),
		TEST(test_refresh_by_post_names_no_scope),
		TEST(test_a_public_client_sends_its_id_alone),
		TEST(test_basic_is_form_encoded_first_unless_raw),
		TEST(test_zoho_revocation_carries_the_token_alone),
		TEST(test_revocation_follows_the_definition),
		TEST(test_definitions_headers_go_to_the_token_endpoint),
		TEST(test_app_proof_is_an_exchange_of_no_real_code),
		TEST(test_probe_shows_the_token_in_its_header_only),
		TEST(test_probe_is_introspection_where_nothing_else_is),
		TEST(test_identity_is_a_text_or_a_number),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
