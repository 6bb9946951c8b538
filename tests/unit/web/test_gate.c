/* The gate: who is let through to which route, and what is kept of a refusal. */
#include "ask.h"

#include "base/text.h"
#include "web/gate.h"

#include <string.h>

static enum err admit(struct web_request *r)
{
	const char *allow;

	if (ask_match(r, &allow))
		fail_msg("%s has no route", r->raw.uri);
	web_gate_origin(r);
	return web_gate_admit(r);
}

static void monitoring_is_for_this_host_and_named_networks(void **state)
{
	static const struct {
		const char *address, *forwarded, *networks;
		enum err err;
	} cases[] = {
		{"127.0.0.1", NULL, "", ERR_OK},
		{"127.8.8.8", NULL, "", ERR_OK},
		{"::1", NULL, "", ERR_OK},
		{"::ffff:127.0.0.1", NULL, "", ERR_OK},
		{"192.0.2.1", NULL, "", ERR_FORBIDDEN},
		{NULL, NULL, "", ERR_FORBIDDEN},
		{"unix:", NULL, "", ERR_FORBIDDEN},
		{"127.0.0.1", "yes", "", ERR_FORBIDDEN}, /* a proxy on this host */
		{"192.0.2.1", NULL, "192.0.2.0/24", ERR_OK},
		{"192.0.2.1", "yes", "192.0.2.0/24", ERR_OK},
		{"192.0.3.1", NULL, "192.0.2.0/24", ERR_FORBIDDEN},
	};
	struct service *s = *state;

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		struct web_request r = ask(s, "GET", i % 2 ? "/healthz" : "/readyz");

		service_set(s, CONF_monitor_networks, cases[i].networks);
		r.raw.address = cases[i].address;
		r.raw.forwarded = cases[i].forwarded;
		r.raw.authorization = "Bearer whatever";
		if (admit(&r) != cases[i].err)
			fail_msg("%s, forwarded %s, networks %s", cases[i].address,
				cases[i].forwarded, cases[i].networks);
	}
	assert_int_equal(fake_db_total(), 0);
}

/* A good key of that role, and the database's row of it. */
static const char *key_of(struct service *s, const char *role)
{
	struct custody_new_key key = {.name = "test", .role = role};
	const struct fake_db_call *call;

	fake_db_forget();
	fake_db_role(STORE_OPERATOR);
	assert_int_equal(custody_caller_make_key(&s->w, &s->c, &key), ERR_OK);
	call = fake_db_call(STMT_API_KEY_ADD, 0);
	fake_db_no_rows(STMT_API_KEY_GET);
	FAKE_DB_ROW(STMT_API_KEY_GET, "test", role,
		fake_db_bytea(call->params[3].text, call->params[3].n), "[\"acme\"]", NULL, "t");
	fake_db_forget();
	fake_db_role(STORE_WORKER);
	return secret_reveal(key.key);
}

static const char *id_of(struct service *s, const char *key)
{
	return arena_strndup(&s->arena, key + 4, 12); /* between "vst_" and "_" */
}

static void expect_no_secret(const struct fake_db_call *call, const char *key)
{
	for (size_t i = 0; i < call->n; i++)
		unit_lacks("audit", call->params[i].text, key + 17); /* the secret's digits */
}

static void a_route_takes_its_roles_and_no_others(void **state)
{
	static const struct {
		const char *method, *uri, *roles; /* a, o, u, s */
	} cases[] = {
		{"GET", "/api/oauth/authorize/acme", "ao"},
		{"POST", "/api/oauth/reauthorize/acme", "a"},
		{"POST", "/api/zoho/emergency-reauth", "a"},
		{"GET", "/divine/oauth/health", "aou"},
		{"HEAD", "/divine/oauth/health", "aou"},
		{"GET", "/api/oauth/token/acme", "as"},
		{"GET", "/api/oauth/clients", "a"},
		{"PUT", "/api/oauth/clients/acme", "a"},
	};
	static const struct {
		char letter;
		const char *role;
	} roles[] = {{'a', "admin"}, {'o', "operator"}, {'u', "auditor"}, {'s', "service"},
		{'-', "root"}, {'-', ""}};
	struct service *s = *state;

	for (size_t j = 0; j < UNIT_COUNT(roles); j++) {
		const char *key = key_of(s, roles[j].role);

		for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
			struct web_request r = ask(s, cases[i].method, cases[i].uri);
			int may = strchr(cases[i].roles, roles[j].letter) != NULL;
			enum err err;

			r.raw.authorization = work_printf(&s->w, "Bearer %s", key);
			fake_db_forget();
			err = admit(&r);
			if (err != (may ? ERR_OK : ERR_FORBIDDEN))
				fail_msg("%s %s by %s: %s", cases[i].method, cases[i].uri,
					roles[j].role, err_slug(err));
			assert_int_equal(fake_db_count(STMT_AUDIT_ADD), !may);
			assert_int_equal(web_gate_scope(&r, "acme", "zoho_crm"), ERR_OK);
			assert_int_equal(fake_db_count(STMT_AUDIT_ADD), !may);
			assert_int_equal(web_gate_scope(&r, "other", NULL), ERR_CLIENT_UNKNOWN);
			assert_int_equal(fake_db_count(STMT_AUDIT_ADD), !may + 1);
		}
	}
}

static void strangers_all_hear_the_same(void **state)
{
	struct service *s = *state;
	const char *key = key_of(s, "admin");
	const char *const credentials[] = {NULL, "", "Bearer", "Bearer ", "Bearer x",
		"Basic dXNlcjpwYXNz", key, work_printf(&s->w, "Bearer%s", key),
		work_printf(&s->w, "Token %s", key), work_printf(&s->w, "Bearer %s ", key),
		work_printf(&s->w, "Bearer %sx", key), work_printf(&s->w, "Bearer \t%s", key)};

	for (size_t i = 0; i < UNIT_COUNT(credentials); i++) {
		struct web_request r = ask(s, "GET", "/api/oauth/clients");

		r.raw.authorization = credentials[i];
		fake_db_forget();
		if (admit(&r) != ERR_UNAUTHENTICATED)
			fail_msg("credential %zu is taken", i);
		assert_int_equal(fake_db_count(STMT_API_KEY_GET), 0);
		assert_int_equal(fake_db_count(STMT_AUDIT_ADD), credentials[i] != NULL);
		unit_same("detail", r.w->detail, NULL);
		unit_same("actor", r.w->origin.actor, "anonymous");
	}
	for (int i = 0; i < 2; i++) {
		struct web_request r = ask(s, "GET", "/api/oauth/clients");

		r.raw.authorization = work_printf(&s->w, i ? "bearer %s" : "BEARER   %s", key);
		assert_int_equal(admit(&r), ERR_OK);
		unit_holds("actor", r.w->origin.actor, "key:");
	}
}

static void a_refusal_is_audited_with_its_route_and_no_credential(void **state)
{
	struct service *s = *state;
	const char *key = key_of(s, "service");
	struct web_request r = ask(s, "GET", "/api/oauth/clients");
	const struct fake_db_call *call;

	r.raw.authorization = work_printf(&s->w, "Bearer %s", key);
	r.raw.request_id = "id-1";
	assert_int_equal(admit(&r), ERR_FORBIDDEN);
	call = fake_db_call(STMT_AUDIT_ADD, 0);
	unit_same("request", fake_db_param(STMT_AUDIT_ADD, 0, 3), "id-1");
	unit_holds("actor", fake_db_param(STMT_AUDIT_ADD, 0, 4), "key:");
	unit_same("address", fake_db_param(STMT_AUDIT_ADD, 0, 6), "192.0.2.1");
	unit_same("action", fake_db_param(STMT_AUDIT_ADD, 0, 8), "auth.failed");
	unit_same("outcome", fake_db_param(STMT_AUDIT_ADD, 0, 9), "denied");
	unit_same("reason", fake_db_param(STMT_AUDIT_ADD, 0, 16), "forbidden");
	unit_same("object", fake_db_param(STMT_AUDIT_ADD, 0, 19), "/api/oauth/clients");
	unit_same("client", fake_db_param(STMT_AUDIT_ADD, 0, 10), NULL);
	unit_same("key", fake_db_param(STMT_AUDIT_ADD, 0, 20), id_of(s, key));
	expect_no_secret(call, key);
}

/* Which key was misused, and how, is for our records alone: the answer is the same for all. */
static void a_refused_key_is_audited_with_its_id_and_the_cause(void **state)
{
	static const struct {
		const char *reason;
		int has_id;
	} cases[] = {{"not a bearer credential", 0}, {"malformed", 0}, {"unknown", 1},
		{"wrong secret", 1}};
	struct service *s = *state;
	const char *key = key_of(s, "admin");

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		struct web_request r = ask(s, "GET", "/api/oauth/clients");

		r.raw.authorization = work_printf(&s->w,
			i == 0   ? "Basic %s"
			: i == 1 ? "Bearer %sx"
				 : "Bearer %s",
			key);
		fake_db_no_rows(STMT_API_KEY_GET);
		if (i == 3)
			FAKE_DB_ROW(STMT_API_KEY_GET, "test", "admin",
				fake_db_bytea("01234567890123456789012345678901", 32), NULL, NULL,
				"t");
		fake_db_forget();
		assert_int_equal(admit(&r), ERR_UNAUTHENTICATED);
		assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 1);
		unit_same("action", fake_db_param(STMT_AUDIT_ADD, 0, 8), "auth.failed");
		unit_same("reason", fake_db_param(STMT_AUDIT_ADD, 0, 16), cases[i].reason);
		unit_same(cases[i].reason, fake_db_param(STMT_AUDIT_ADD, 0, 20),
			cases[i].has_id ? id_of(s, key) : NULL);
		unit_same("actor", fake_db_param(STMT_AUDIT_ADD, 0, 4), "anonymous");
		unit_same("detail", r.w->detail, NULL);
		expect_no_secret(fake_db_call(STMT_AUDIT_ADD, 0), key);
	}
}

static void a_client_out_of_reach_is_audited_by_name(void **state)
{
	static const char *const providers[] = {"zoho_crm", NULL};
	struct service *s = *state;
	const char *key = key_of(s, "service");
	struct web_request r = ask(s, "GET", "/api/oauth/token/other");

	r.raw.authorization = work_printf(&s->w, "Bearer %s", key);
	assert_int_equal(admit(&r), ERR_OK);
	assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 0);
	for (size_t i = 0; i < UNIT_COUNT(providers); i++) {
		fake_db_forget();
		assert_int_equal(web_gate_scope(&r, "other", providers[i]), ERR_CLIENT_UNKNOWN);
		assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 1);
		unit_same("action", fake_db_param(STMT_AUDIT_ADD, 0, 8), "auth.failed");
		unit_same("outcome", fake_db_param(STMT_AUDIT_ADD, 0, 9), "denied");
		unit_same("client", fake_db_param(STMT_AUDIT_ADD, 0, 10), "other");
		unit_same("provider", fake_db_param(STMT_AUDIT_ADD, 0, 11), providers[i]);
		unit_same("reason", fake_db_param(STMT_AUDIT_ADD, 0, 16),
			err_slug(ERR_CLIENT_UNKNOWN));
		unit_same("object", fake_db_param(STMT_AUDIT_ADD, 0, 19),
			"/api/oauth/token/:clientId");
		unit_same("key", fake_db_param(STMT_AUDIT_ADD, 0, 20), id_of(s, key));
	}
}

static void addresses_are_kept_in_their_plain_form(void **state)
{
	static const struct {
		const char *address, *plain;
	} cases[] = {
		{"192.0.2.1", "192.0.2.1"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"2001:DB8:0::1", "2001:db8::1"},
		{"unix:", NULL},
		{"192.0.2.1, 10.0.0.1", NULL},
		{"", NULL},
		{NULL, NULL},
	};

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		struct web_request r = ask(*state, "GET", "/healthz");

		r.raw.address = cases[i].address;
		web_gate_origin(&r);
		unit_same(cases[i].address ? cases[i].address : "(null)", r.w->origin.address,
			cases[i].plain);
	}
}

static void a_database_that_is_away_is_not_a_bad_credential(void **state)
{
	struct service *s = *state;
	const char *key = key_of(s, "admin");
	struct web_request r = ask(s, "GET", "/api/oauth/clients");

	r.raw.authorization = work_printf(&s->w, "Bearer %s", key);
	fake_db_fail(STMT_API_KEY_GET, ERR_DB_AWAY);
	assert_int_equal(admit(&r), ERR_DB_AWAY);
	assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 0);
}

static void what_a_caller_sends_is_cleaned_for_our_records(void **state)
{
	struct service *s = *state;
	struct web_request r = ask(s, "GET", "/healthz");
	char agent[1001];

	memset(agent, 'x', sizeof(agent) - 1);
	agent[sizeof(agent) - 1] = '\0';
	memcpy(agent, "a\nb\x7f\xff\x1b", 6);
	r.raw.user_agent = agent;
	r.raw.request_id = "id\r\n2";
	web_gate_origin(&r);
	assert_int_equal(strlen(r.w->origin.user_agent), 200);
	assert_memory_equal(r.w->origin.user_agent, "a?b???xx", 8);
	assert_string_equal(r.w->origin.request_id, "id??2");
	assert_memory_equal(agent, "a\nb", 3);
	r.raw.request_id = NULL;
	web_gate_origin(&r);
	assert_string_equal(r.w->origin.request_id, "");
}

static void a_callback_needs_no_key(void **state)
{
	struct web_request r = ask(*state, "GET", "/api/oauth/callback/zoho_crm?code=1&state=2");

	assert_int_equal(admit(&r), ERR_OK);
	assert_string_equal(r.w->origin.actor_auth, "state");
	assert_int_equal(fake_db_total(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVICE_TEST(monitoring_is_for_this_host_and_named_networks),
		SERVICE_TEST(a_route_takes_its_roles_and_no_others),
		SERVICE_TEST(strangers_all_hear_the_same),
		SERVICE_TEST(a_refusal_is_audited_with_its_route_and_no_credential),
		SERVICE_TEST(a_refused_key_is_audited_with_its_id_and_the_cause),
		SERVICE_TEST(a_client_out_of_reach_is_audited_by_name),
		SERVICE_TEST(addresses_are_kept_in_their_plain_form),
		SERVICE_TEST(a_database_that_is_away_is_not_a_bad_credential),
		SERVICE_TEST(what_a_caller_sends_is_cleaned_for_our_records),
		SERVICE_TEST(a_callback_needs_no_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
