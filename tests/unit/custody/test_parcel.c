/* A token on its way: what is written is read back whole, and nothing else is taken for it. */
#include "../support/service.h"

#include "base/clock.h"
#include "custody/parcel.h"

#include <string.h>

static struct secret *hidden(struct service *s, const char *text)
{
	return secret_new(&s->w, text, strlen(text));
}

static void same_secret(const char *which, const struct secret *got, const char *wanted)
{
	unit_same(which, got ? secret_reveal(got) : NULL, wanted);
}

static enum err there_and_back(struct service *s, const struct custody_acceptance *asked,
	int64_t age_s, struct custody_parcel *parcel)
{
	struct secret *text = NULL;

	assert_int_equal(custody_parcel_write(&s->w, asked, &text), ERR_OK);
	return custody_parcel_read(&s->w, text, age_s, parcel);
}

static void everything_comes_back(void **state)
{
	struct service *s = *state;
	const struct oauth_token token = {.access = hidden(s, "a\"\\1"),
		.refresh = hidden(s, "r1"),
		.token_type = "Bearer",
		.expires_in_s = 3600,
		.refresh_expires_in_s = -1,
		.scope = "mail",
		.api_domain = "https://www.zohoapis.eu"};
	const struct custody_acceptance asked = {.connection_id = 12,
		.app_id = 3,
		.client = "acme",
		.provider = oauth_provider_find(s->c.providers, "zoho_crm"),
		.datacenter = "eu",
		.kept_json = "{\"realmId\":\"9\"}",
		.token = &token,
		.cause = "scope_missing",
		.action = "token.override",
		.reason = "l\xc3\xa4uft ab",
		.detail_json = "{\"from\":1}",
		.asked_ms = clock_monotonic_ms(),
		.is_all = 1,
		.is_mint = 1,
		.spent = hidden(s, "r0"),
		.taken_back = 7,
		.account = hidden(s, "account 9"),
		.accept_account = "f00d"};
	struct custody_parcel got;
	const struct custody_acceptance *it = &got.acceptance;

	s->w.origin.actor = "key:1";
	assert_int_equal(there_and_back(s, &asked, 30, &got), ERR_OK);
	unit_same("provider", got.provider, "zoho_crm");
	unit_same("actor", got.actor, "key:1");
	unit_same("client", it->client, "acme");
	unit_same("datacenter", it->datacenter, "eu");
	unit_same("kept", it->kept_json, "{\"realmId\":\"9\"}");
	unit_same("cause", it->cause, "scope_missing");
	unit_same("action", it->action, "token.override");
	unit_same("reason", it->reason, "l\xc3\xa4uft ab");
	unit_same("detail", it->detail_json, "{\"from\":1}");
	unit_same("accepted", it->accept_account, "f00d");
	unit_same("type", it->token->token_type, "Bearer");
	unit_same("scope", it->token->scope, "mail");
	unit_same("api", it->token->api_domain, "https://www.zohoapis.eu");
	same_secret("access", it->token->access, "a\"\\1");
	same_secret("refresh", it->token->refresh, "r1");
	same_secret("spent", it->spent, "r0");
	same_secret("account", it->account, "account 9");
	assert_int_equal(it->connection_id, 12);
	assert_int_equal(it->app_id, 3);
	assert_int_equal(it->taken_back, 7);
	assert_int_equal(it->token->expires_in_s, 3600);
	assert_int_equal(it->token->refresh_expires_in_s, -1);
	assert_true(it->is_all && it->is_mint && !it->provider);
	assert_in_range(clock_monotonic_ms() - it->asked_ms, 30000, 31000);
}

static void what_is_not_there_stays_away(void **state)
{
	struct service *s = *state;
	const struct oauth_token token = {
		.access = hidden(s, "a1"), .token_type = "Bearer", .expires_in_s = -1};
	const struct custody_acceptance asked = {.client = "acme",
		.provider = oauth_provider_find(s->c.providers, "zoho_crm"),
		.datacenter = "",
		.kept_json = "{}",
		.token = &token,
		.cause = "none",
		.action = "token.undone"};
	struct custody_parcel got;
	const struct custody_acceptance *it = &got.acceptance;

	assert_int_equal(there_and_back(s, &asked, 0, &got), ERR_OK);
	assert_null(it->token->refresh);
	assert_null(it->spent);
	assert_null(it->account);
	assert_null(it->reason);
	assert_null(it->accept_account);
	assert_false(it->is_all || it->is_mint);
	assert_int_equal(it->token->expires_in_s, -1);
}

static void its_age_is_never_negative(void **state)
{
	struct service *s = *state;
	const int64_t now_ms = clock_wall_ms();

	assert_in_range(
		custody_parcel_age_s(&s->w, hidden(s, work_printf(&s->w, "{\"askedAt\":%lld}",
							      (long long)(now_ms - 90000)))),
		90, 91);
	assert_int_equal(
		custody_parcel_age_s(&s->w, hidden(s, work_printf(&s->w, "{\"askedAt\":%lld}",
							      (long long)(now_ms + 90000)))),
		0);
}

static void nothing_else_is_taken_for_one(void **state)
{
	static const char *const texts[] = {"", "{}", "[]", "x", "{\"access\":\"a\"}",
		"{\"client\":\"acme\",\"provider\":\"zoho_crm\",\"datacenter\":\"\",\"kept\":\"{}"
		"\","
		"\"cause\":\"none\",\"action\":\"token.override\",\"tokenType\":\"Bearer\"}"};
	struct service *s = *state;
	struct custody_parcel got;

	for (size_t i = 0; i < UNIT_COUNT(texts); i++)
		if (custody_parcel_read(&s->w, hidden(s, texts[i]), 0, &got) != ERR_SEALED)
			fail_msg("%s is taken", texts[i]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SERVICE_TEST(everything_comes_back),
		SERVICE_TEST(what_is_not_there_stays_away),
		SERVICE_TEST(its_age_is_never_negative),
		SERVICE_TEST(nothing_else_is_taken_for_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
