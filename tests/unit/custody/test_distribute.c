/* The stores outside the database: what stands in them, what never does, and that one that fails is
 * told and harms nothing. */
#include "../support/service.h"

#include "base/file.h"
#include "base/jin.h"
#include "custody/distribute.h"
#include "vault/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN "1000.0a~1-b_2/c+d=:"
#define REFRESH "1000.refresh-91ee"
#define EXPIRES "2026-01-31T12:00:00.000Z"

struct row {
	const char *access, *expires_at, *api_domain;
	int64_t sealed_as;
};

static const struct row good = {TOKEN, EXPIRES, NULL, 5};

/* What opening an incident answers: a new one, or the one that is open. */
static void lay_incident(const char *is_new)
{
	fake_db_no_rows(STMT_INCIDENT_OPEN);
	FAKE_DB_ROW(STMT_INCIDENT_OPEN, "99", is_new);
	fake_db_forget();
}

static void lay(struct service *s, const struct row *row)
{
	fake_db_no_rows(STMT_CONNECTION_LOCK);
	fake_db_no_rows(STMT_TOKEN_CURRENT);
	FAKE_DB_ROW(STMT_CONNECTION_LOCK, "acme", "zoho_crm", "5", "live", "none", "5");
	FAKE_DB_ROW(STMT_TOKEN_CURRENT, "acme", "Acme", "zoho_crm", "eu", row->api_domain, "scope",
		"{}", "7", "5", service_sealed(s, "access", row->sealed_as, row->access),
		service_sealed(s, "refresh", 5, REFRESH), "Bearer", "2026-01-31T11:00:00.000Z",
		row->expires_at, "2026-01-31T11:00:00.000Z", NULL, NULL);
	lay_incident("t");
}

static void lay_empty(void)
{
	fake_db_no_rows(STMT_CONNECTION_LOCK);
	fake_db_no_rows(STMT_TOKEN_CURRENT);
	FAKE_DB_ROW(STMT_CONNECTION_LOCK, "acme", "zoho_crm", "5", "missing", "removed", NULL);
	FAKE_DB_ROW(STMT_TOKEN_CURRENT, "acme", "Acme", "zoho_crm", "eu", NULL, NULL, "{}", NULL,
		NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
	fake_db_forget();
}

static enum err distribute(struct service *s, struct custody_persisted *persisted)
{
	work_forgive(&s->w);
	memset(persisted, 0x5a, sizeof(*persisted));
	return custody_distribute(&s->w, &s->c, 42, persisted);
}

static const char *env_path(struct service *s)
{
	return work_printf(
		&s->w, "%s/env/acme.zoho_crm.env", conf_text(&s->conf, CONF_runtime_dir));
}

/* The environment file's text, or NULL when there is none. */
static const char *environment(struct service *s)
{
	char *text = NULL;
	size_t n = 0;
	enum err err = file_read(&s->w, AT_FDCWD, env_path(s), 65536, &text, &n);

	assert_true(err == ERR_OK || err == ERR_NOT_FOUND);
	assert_true(err || strlen(text) == n);
	return err ? NULL : text;
}

static enum err copy(struct service *s, int64_t *generation, struct secret **content)
{
	return vault_copy_read(&s->w, s->c.keyring, conf_text(&s->conf, CONF_state_dir), "acme",
		"zoho_crm", generation, content);
}

static void expect_noted(const char *file, const char *environment_generation)
{
	unit_same("connection", fake_db_param(STMT_CONNECTION_DISTRIBUTED, 0, 1), "42");
	unit_same("copy", fake_db_param(STMT_CONNECTION_DISTRIBUTED, 0, 2), file);
	unit_same("environment", fake_db_param(STMT_CONNECTION_DISTRIBUTED, 0, 3),
		environment_generation);
	assert_int_equal(fake_db_call(STMT_CONNECTION_DISTRIBUTED, 0)->fate, FAKE_DB_COMMITTED);
}

static void expect_quiet(void)
{
	assert_int_equal(fake_db_count(STMT_INCIDENT_OPEN), 0);
	assert_int_equal(fake_db_count(STMT_OUTBOX_ADD), 0);
	assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 0);
}

/* An incident's audit event and its message, each once and in the commit. */
static void expect_told(struct service *s, const char *kind, const char *cause)
{
	const char *payload = fake_db_param(STMT_OUTBOX_ADD, 0, 5);
	json_t *json = jin_parse(&s->w, payload, strlen(payload));

	assert_int_equal(fake_db_count(STMT_OUTBOX_ADD), 1);
	assert_int_equal(fake_db_call(STMT_OUTBOX_ADD, 0)->fate, FAKE_DB_COMMITTED);
	unit_same("message", fake_db_param(STMT_OUTBOX_ADD, 0, 1),
		work_printf(&s->w, "incident-99-%s", kind));
	unit_same("kind", fake_db_param(STMT_OUTBOX_ADD, 0, 2), kind);
	unit_same("incident", fake_db_param(STMT_OUTBOX_ADD, 0, 3), "99");
	unit_same("connection", fake_db_param(STMT_OUTBOX_ADD, 0, 4), "42");
	unit_same("client", json_string_value(json_object_get(json, "clientId")), "acme");
	unit_same("provider", json_string_value(json_object_get(json, "provider")), "zoho_crm");
	unit_same("cause", json_string_value(json_object_get(json, "cause")), cause);
	assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 1);
	assert_int_equal(fake_db_call(STMT_AUDIT_ADD, 0)->fate, FAKE_DB_COMMITTED);
	unit_same("action", fake_db_param(STMT_AUDIT_ADD, 0, 8), kind);
	unit_same("audited", fake_db_param(STMT_AUDIT_ADD, 0, 13), "99");
	unit_lacks("payload", payload, TOKEN);
	unit_lacks("payload", payload, REFRESH);
}

static void a_token_reaches_both(void **state)
{
	struct service *s = *state;
	struct custody_persisted persisted;
	struct secret *content = NULL;
	int64_t generation = 0;
	struct stat info;
	json_t *json;

	service_app(s);
	lay(s, &good);
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	assert_true(persisted.database && persisted.file && persisted.environment);
	expect_noted("5", "5");
	assert_int_equal(fake_db_count(STMT_INCIDENT_RESOLVE), 1);
	expect_quiet(); /* none was open */
	unit_same("file", environment(s),
		"ZOHO_CRM_ACCESS_TOKEN=" TOKEN "\nZOHO_CRM_AUTHORIZATION_SCHEME=Zoho-oauthtoken\n"
		"ZOHO_CRM_EXPIRES_AT=" EXPIRES "\nZOHO_CRM_GENERATION=5\n"
		"ZOHO_CRM_API_DOMAIN=https://www.zohoapis.eu\n");
	assert_int_equal(stat(env_path(s), &info), 0);
	assert_int_equal(info.st_mode & 07777, 0640);
	assert_int_equal(copy(s, &generation, &content), ERR_OK);
	assert_int_equal(generation, 5);
	json = jin_parse(&s->w, secret_reveal(content), secret_len(content));
	unit_same("access", json_string_value(json_object_get(json, "accessToken")), TOKEN);
	unit_same("refresh", json_string_value(json_object_get(json, "refreshToken")), REFRESH);
	unit_same("secret",
		json_string_value(json_object_get(json_object_get(json, "app"), "clientSecret")),
		SERVICE_APP_SECRET);
	unit_lacks("environment", environment(s), REFRESH);
	unit_lacks("environment", environment(s), SERVICE_APP_SECRET);
}

/* What a shell, systemd or a reader of NAME=value lines could take for more than a value. */
static void a_value_that_is_more_than_a_value_is_refused(void **state)
{
	static const char *const values[] = {"", "a\nPATH=/tmp", "a\rb", "a b", " a", "a\tb",
		"a\"b", "a'b", "a$b", "$(id)", "a`id`", "a\\b", "a;b", "a&b", "a|b", "a#b", "a!b",
		"a*b", "a?b", "a(b", "a)b", "a{b}", "a[b]", "a<b", "a>b", "a^b", "a\x01z", "a\x7f",
		"a\xc3\xbc", "a\xff"};
	struct service *s = *state;
	const char *old;

	service_app(s);
	lay(s, &good);
	assert_int_equal(distribute(s, &(struct custody_persisted){0}), ERR_OK);
	old = environment(s);
	for (size_t i = 0; i < 3 * UNIT_COUNT(values); i++) {
		const char *value = values[i / 3];
		struct custody_persisted persisted;
		struct row row = good;

		if (i % 3 == 0)
			row.access = value;
		else if (i % 3 == 1)
			row.expires_at = value;
		else
			row.api_domain = value;
		lay(s, &row);
		assert_int_equal(distribute(s, &persisted), ERR_OK);
		if (!persisted.database || !persisted.file || persisted.environment)
			fail_msg("value %zu in place %zu is written", i / 3, i % 3);
		expect_noted("5", "-1");
		assert_int_equal(fake_db_count(STMT_INCIDENT_RESOLVE), 0);
		expect_told(s, "incident.opened", "our_fault");
		unit_same("environment", environment(s), old);
	}
}

static void a_value_of_harmless_characters_is_written(void **state)
{
	static const struct row harmless = {
		"aZ09._~+/=:%@,-b", EXPIRES, "https://api.example:8443/a%20b", 5};
	struct service *s = *state;
	struct custody_persisted persisted;

	service_app(s);
	lay(s, &harmless);
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	assert_true(persisted.environment);
	unit_holds("file", environment(s), "ZOHO_CRM_ACCESS_TOKEN=aZ09._~+/=:%@,-b\n");
	unit_holds("file", environment(s), "_API_DOMAIN=https://api.example:8443/a%20b\n");
}

static void a_token_that_is_gone_is_gone_from_both(void **state)
{
	struct service *s = *state;
	struct custody_persisted persisted;
	struct secret *content = NULL;
	int64_t generation = 0;

	service_app(s);
	lay(s, &good);
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	lay_empty();
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	assert_false(persisted.database || persisted.file || persisted.environment);
	expect_noted("0", "0");
	assert_int_equal(fake_db_count(STMT_INCIDENT_RESOLVE), 0); /* nothing is proved */
	expect_quiet();
	unit_same("environment", environment(s), NULL);
	assert_int_equal(copy(s, &generation, &content), ERR_NOT_FOUND);
	/* and once more, where nothing is left */
	lay_empty();
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	expect_noted("0", "0");
}

static void a_store_that_fails_is_left_behind_and_the_other_is_not(void **state)
{
	struct service *s = *state;
	const char *state_dir = conf_text(&s->conf, CONF_state_dir),
		   *runtime_dir = conf_text(&s->conf, CONF_runtime_dir);
	struct custody_persisted persisted;

	service_app(s);
	service_set(s, CONF_runtime_dir, "/nonexistent/run");
	lay(s, &good);
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	assert_true(persisted.database && persisted.file && !persisted.environment);
	expect_noted("5", "-1");
	expect_told(s, "incident.opened", "our_fault");
	assert_null(s->w.detail);
	service_set(s, CONF_runtime_dir, runtime_dir);
	service_set(s, CONF_state_dir, "/nonexistent/state");
	lay(s, &good);
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	assert_true(persisted.database && !persisted.file && persisted.environment);
	expect_noted("-1", "5");
	expect_told(s, "incident.opened", "our_fault");
	service_set(s, CONF_state_dir, state_dir);
}

static void a_store_that_fails_opens_an_incident_or_joins_it(void **state)
{
	struct service *s = *state;
	struct custody_persisted persisted;

	service_app(s);
	service_set(s, CONF_runtime_dir, "/nonexistent/run");
	lay(s, &good);
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	unit_same("connection", fake_db_param(STMT_INCIDENT_OPEN, 0, 1), "42");
	unit_same("cause", fake_db_param(STMT_INCIDENT_OPEN, 0, 2), "our_fault");
	assert_int_equal(fake_db_call(STMT_INCIDENT_OPEN, 0)->fate, FAKE_DB_COMMITTED);
	assert_int_equal(fake_db_count(STMT_INCIDENT_RESOLVE), 0);
	expect_told(s, "incident.opened", "our_fault");
	/* the one that is open was told of when it was opened */
	lay_incident("f");
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	assert_int_equal(fake_db_count(STMT_INCIDENT_OPEN), 1);
	assert_int_equal(fake_db_count(STMT_OUTBOX_ADD), 0);
	assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 0);
	assert_int_equal(fake_db_count(STMT_INCIDENT_RESOLVE), 0);
	/* a token that cannot be taken away is no less of one */
	lay_empty();
	lay_incident("t");
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	expect_noted("0", "-1");
	expect_told(s, "incident.opened", "our_fault");
}

static void both_up_to_date_resolve_the_open_incident(void **state)
{
	struct service *s = *state;
	struct custody_persisted persisted;
	const char *payload;

	service_app(s);
	lay(s, &good);
	FAKE_DB_ROW(STMT_INCIDENT_RESOLVE, "99", "120");
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	unit_same("connection", fake_db_param(STMT_INCIDENT_RESOLVE, 0, 1), "42");
	assert_int_equal(fake_db_call(STMT_INCIDENT_RESOLVE, 0)->fate, FAKE_DB_COMMITTED);
	assert_int_equal(fake_db_count(STMT_INCIDENT_OPEN), 0);
	expect_told(s, "incident.resolved", "none");
	unit_same("generation", fake_db_param(STMT_AUDIT_ADD, 0, 14), "5");
	payload = fake_db_param(STMT_OUTBOX_ADD, 0, 5);
	unit_holds("payload", payload, "\"recoverySeconds\":120");
}

/* What could not be told is not noted either: the next run does both again. */
static void what_cannot_be_told_is_not_noted(void **state)
{
	static const enum stmt steps[] = {STMT_INCIDENT_OPEN, STMT_AUDIT_ADD, STMT_OUTBOX_ADD};
	struct service *s = *state;

	service_app(s);
	service_set(s, CONF_runtime_dir, "/nonexistent/run");
	for (size_t i = 0; i < UNIT_COUNT(steps); i++) {
		lay(s, &good);
		fake_db_fail(steps[i], ERR_DB_AWAY);
		assert_int_equal(distribute(s, &(struct custody_persisted){0}), ERR_DB_AWAY);
		assert_int_equal(
			fake_db_call(STMT_CONNECTION_DISTRIBUTED, 0)->fate, FAKE_DB_ROLLED_BACK);
		fake_db_fail(steps[i], ERR_OK);
	}
}

static void without_a_database_nothing_is_touched(void **state)
{
	struct service *s = *state;
	struct custody_persisted persisted;

	service_app(s);
	lay(s, &good);
	fake_db_ready(ERR_DB_AWAY);
	assert_int_equal(distribute(s, &persisted), ERR_DB_AWAY);
	assert_int_equal(fake_db_total(), 0);
	assert_true(persisted.database && !persisted.file && !persisted.environment);
	unit_same("environment", environment(s), NULL);
}

static void what_does_not_open_reaches_nobody(void **state)
{
	static const struct row moved = {TOKEN, EXPIRES, NULL, 4};
	struct service *s = *state;
	struct custody_persisted persisted;
	struct secret *content = NULL;
	int64_t generation = 0;

	service_app(s);
	lay(s, &moved);
	assert_int_equal(distribute(s, &persisted), ERR_SEALED);
	assert_int_equal(fake_db_count(STMT_CONNECTION_DISTRIBUTED), 0);
	assert_int_equal(fake_db_call(STMT_CONNECTION_LOCK, 0)->fate, FAKE_DB_ROLLED_BACK);
	assert_false(persisted.file || persisted.environment);
	unit_same("environment", environment(s), NULL);
	assert_int_equal(copy(s, &generation, &content), ERR_NOT_FOUND);
}

/* The row is locked before it is read, or two could overtake each other. */
static void the_connection_is_locked_first(void **state)
{
	struct service *s = *state;

	service_app(s);
	lay(s, &good);
	fake_db_fail(STMT_CONNECTION_LOCK, ERR_DB_TIMEOUT);
	assert_int_equal(distribute(s, &(struct custody_persisted){0}), ERR_DB_TIMEOUT);
	assert_int_equal(fake_db_total(), 1);
	unit_same("environment", environment(s), NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVICE_TEST(a_token_reaches_both),
		SERVICE_TEST(a_value_that_is_more_than_a_value_is_refused),
		SERVICE_TEST(a_value_of_harmless_characters_is_written),
		SERVICE_TEST(a_token_that_is_gone_is_gone_from_both),
		SERVICE_TEST(a_store_that_fails_is_left_behind_and_the_other_is_not),
		SERVICE_TEST(a_store_that_fails_opens_an_incident_or_joins_it),
		SERVICE_TEST(both_up_to_date_resolve_the_open_incident),
		SERVICE_TEST(what_cannot_be_told_is_not_noted),
		SERVICE_TEST(without_a_database_nothing_is_touched),
		SERVICE_TEST(what_does_not_open_reaches_nobody),
		SERVICE_TEST(the_connection_is_locked_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
