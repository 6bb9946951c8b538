/* The way out to the provider's page and the way back: URL, data centre, issuer. */
#include "fixture.h"

#include "base/text.h"
#include "oauth/authorize.h"
#include "oauth/callback.h"

#include <string.h>

static const struct oauth_app app = {
	"1000.CLIENT", NULL, "https://vestal.example/api/oauth/callback/zoho_crm?x=1"};

static void test_zoho_url_is_complete(void **state)
{
	struct fixture *f = *state;
	const struct oauth_provider *crm = fixture_provider(f, "zoho_crm");
	struct oauth_target target = {
		.provider = crm, .datacenter = oauth_provider_datacenter(crm, "eu")};
	char *url;

	assert_int_equal(
		oauth_authorize_url(&f->w, &target, &app, "st-1_~.", "CHALLENGE", &url), ERR_OK);
	assert_string_equal(url,
		"https://accounts.zoho.eu/oauth/v2/auth?response_type=code&client_id=1000.CLIENT"
		"&redirect_uri=https%3A%2F%2Fvestal.example%2Fapi%2Foauth%2Fcallback%2Fzoho_crm%"
		"3Fx%3D1"
		"&scope=ZohoCRM.modules.ALL%2CZohoCRM.users.READ%2CAaaServer.profile.READ&state=st-"
		"1_~."
		"&code_challenge=CHALLENGE&code_challenge_method=S256&access_type=offline&prompt="
		"consent");
}

static void test_an_existing_query_is_kept(void **state)
{
	static const struct {
		const char *authorize_url, *begins;
	} cases[] = {
		{"https://a.example/auth?tenant=7",
			"https://a.example/auth?tenant=7&response_type=code&"},
		{"https://a.example/auth?", "https://a.example/auth?response_type=code&"},
		{"https://a.example/auth?a=1&", "https://a.example/auth?a=1&response_type=code&"},
		{"https://a.example/auth", "https://a.example/auth?response_type=code&"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct oauth_provider provider = *fixture_provider(f, "rfc");
		struct oauth_target target = {.provider = &provider};
		char *url;

		provider.authorize_url = cases[i].authorize_url;
		assert_int_equal(oauth_authorize_url(&f->w, &target, &app, "s", "c", &url), ERR_OK);
		assert_true(text_starts(url, cases[i].begins));
	}
}

static void test_nothing_in_a_value_escapes_it(void **state)
{
	struct fixture *f = *state;
	const struct oauth_provider *rfc = fixture_provider(f, "rfc");
	struct oauth_app odd = {"a&b=c#d", NULL, "https://v.example/\r\n"};
	struct oauth_target target = {.provider = rfc};
	char *url;

	assert_int_equal(
		oauth_authorize_url(&f->w, &target, &odd, "s&scope=all", "c", &url), ERR_OK);
	assert_non_null(strstr(
		url, "client_id=a%26b%3Dc%23d&redirect_uri=https%3A%2F%2Fv.example%2F%0D%0A&"));
	assert_non_null(strstr(url, "&state=s%26scope%3Dall&"));
}

static void test_the_challenge_follows_the_definition(void **state)
{
	struct fixture *f = *state;
	struct oauth_provider plain = *fixture_provider(f, "rfc");
	struct oauth_target target = {.provider = &plain};
	char *url;

	assert_int_equal(oauth_authorize_url(&f->w, &target, &app, "s", NULL, &url), ERR_BUG);
	plain.pkce = 0;
	assert_int_equal(oauth_authorize_url(&f->w, &target, &app, "s", "c", &url), ERR_BUG);
	assert_int_equal(oauth_authorize_url(&f->w, &target, &app, "s", NULL, &url), ERR_OK);
	assert_null(strstr(url, "code_challenge"));
}

static const struct oauth_datacenter *land(struct fixture *f, const char *start,
	const char *location, const char *server, enum err expected)
{
	const struct oauth_provider *crm = fixture_provider(f, "zoho_crm");
	const struct oauth_datacenter *dc = NULL;
	enum err err = oauth_callback_datacenter(
		&f->w, crm, oauth_provider_datacenter(crm, start), location, server, &dc);

	if (err != expected)
		fail_msg("location %s, server %s: %s", location ? location : "-",
			server ? server : "-", err_slug(err));
	work_forgive(&f->w);
	return dc;
}

static void test_callback_names_the_users_data_centre(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(land(f, "us", NULL, NULL, ERR_OK)->name, "us");
	assert_string_equal(land(f, "us", "", "", ERR_OK)->name, "us");
	assert_string_equal(land(f, "us", "eu", NULL, ERR_OK)->name, "eu");
	assert_string_equal(land(f, "us", NULL, "https://accounts.zoho.in", ERR_OK)->name, "in");
	assert_string_equal(
		land(f, "us", "ca", "https://accounts.zohocloud.ca", ERR_OK)->name, "ca");
	assert_string_equal(land(f, "cn", NULL, NULL, ERR_OK)->name, "cn");
}

static void test_callback_cannot_name_another_host(void **state)
{
	static const char *const servers[] = {
		"https://evil.example",
		"https://203.0.113.7",
		"https://[2001:db8::1]",
		"https://127.0.0.1",
		"https://accounts.zoho.com.evil.example",
		"https://accounts-zoho.com",
		"https://accounts.zoho.co",
		"https://accounts.zoho.com@evil.example",
		"https://evil.example@accounts.zoho.com",
		"http://accounts.zoho.com",
		"https://accounts.zoho.com.",
		"https://accounts.zoho.com/",
		"https://accounts.zoho.com:443",
		"https://accounts.zoho.com#",
		"https://accounts.zoho.com?x",
		"https://ACCOUNTS.ZOHO.COM",
		"https://accounts.z\xd0\xbeho.com",
		"//accounts.zoho.com",
		"accounts.zoho.com",
		" https://accounts.zoho.com",
		"https://accounts.zoho.ca",
		"https://www.zohoapis.com",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		assert_null(land(f, "us", NULL, servers[i], ERR_DATACENTER_MISMATCH));
		assert_null(land(f, "us", "us", servers[i], ERR_DATACENTER_MISMATCH));
	}
}

static void test_location_and_server_have_to_agree(void **state)
{
	struct fixture *f = *state;

	assert_null(land(f, "us", "eu", "https://accounts.zoho.in", ERR_DATACENTER_MISMATCH));
	assert_null(land(f, "us", "eu", "https://accounts.zoho.com", ERR_DATACENTER_MISMATCH));
	assert_null(land(f, "us", "us", "https://accounts.zoho.eu", ERR_DATACENTER_MISMATCH));
	assert_null(land(f, "us", "mars", NULL, ERR_DATACENTER_MISMATCH));
	assert_null(land(f, "us", "EU", NULL, ERR_DATACENTER_MISMATCH));
	assert_null(land(f, "us", "mars", "https://accounts.zoho.com", ERR_DATACENTER_MISMATCH));
}

static void test_parameters_nobody_named_are_not_believed(void **state)
{
	struct fixture *f = *state;
	const struct oauth_provider *rfc = fixture_provider(f, "rfc");
	const struct oauth_datacenter *dc = (const struct oauth_datacenter *)f;

	assert_int_equal(
		oauth_callback_datacenter(&f->w, rfc, NULL, "eu", "https://evil.example", &dc),
		ERR_OK);
	assert_null(dc);
}

static void test_issuer_has_to_be_the_definitions(void **state)
{
	static const char *const others[] = {"https://login.example/", "https://login.example.evil",
		"http://login.example", "https://LOGIN.example", "", "https://login.example\n"};
	struct fixture *f = *state;
	struct oauth_provider rfc = *fixture_provider(f, "rfc");

	assert_int_equal(oauth_callback_issuer(&f->w, &rfc, "https://login.example"), ERR_OK);
	assert_int_equal(oauth_callback_issuer(&f->w, &rfc, NULL), ERR_ISSUER_MISMATCH);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(
			oauth_callback_issuer(&f->w, &rfc, others[i]), ERR_ISSUER_MISMATCH);
	rfc.require_iss = 0;
	assert_int_equal(oauth_callback_issuer(&f->w, &rfc, NULL), ERR_OK);
	assert_int_equal(
		oauth_callback_issuer(&f->w, &rfc, "https://evil.example"), ERR_ISSUER_MISMATCH);
	assert_int_equal(oauth_callback_issuer(
				 &f->w, fixture_provider(f, "zoho_crm"), "https://evil.example"),
		ERR_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_zoho_url_is_complete),
		TEST(test_an_existing_query_is_kept),
		TEST(test_nothing_in_a_value_escapes_it),
		TEST(test_the_challenge_follows_the_definition),
		TEST(test_callback_names_the_users_data_centre),
		TEST(test_callback_cannot_name_another_host),
		TEST(test_location_and_server_have_to_agree),
		TEST(test_parameters_nobody_named_are_not_believed),
		TEST(test_issuer_has_to_be_the_definitions),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
