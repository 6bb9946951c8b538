/* The stores outside the database: what stands in them, what never does, and that one that fails is
 * told and harms nothing. */
#include "../support/service.h"

#include "base/file.h"
#include "base/jin.h"
#include "custody/distribute.h"
#include "custody/token.h"
#include "vault/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN "1000.0a~1-b_2/c+d=:"
#define REFRESH "1000.refresh-91ee"
#define ACCOUNT "7a11c0de00112233445566778899aabbccddeeff"
#define EXPIRES "2026-01-31T12:00:00.000Z"

struct row {
	const char *access, *expires_at, *api_domain;
	int64_t sealed_as;
};

static const struct row good = {TOKEN, EXPIRES, NULL, 5};

/* --- the clock -------------------------------------------------------------------------------- */

int64_t __real_clock_monotonic_ms(void);
int64_t __wrap_clock_monotonic_ms(void);

static void (*on_clock)(void);
static int64_t skew_ms;

int64_t __wrap_clock_monotonic_ms(void)
{
	if (on_clock)
		on_clock();
	return __real_clock_monotonic_ms() + skew_ms;
}

/* --- what the database holds ------------------------------------------------------------------ */

/* A secret sealed for any connection. As a bytea. */
static const char *sealed_for(struct service *s, const char *client, const char *provider,
	const char *column, int64_t generation, const char *text)
{
	const struct custody_token_place place = {client, provider, column, generation};
	struct secret *secret = secret_new(&s->w, text, strlen(text));
	struct store_sealed sealed;
	const char *fingerprint;

	assert_non_null(secret);
	assert_int_equal(
		custody_token_seal(&s->w, &s->c, &place, secret, &sealed, &fingerprint), ERR_OK);
	return fake_db_bytea(sealed.bytes, sealed.n);
}

/* What opening an incident answers: a new one, or the one that is open. */
static void lay_incident(const char *is_new)
{
	fake_db_no_rows(STMT_INCIDENT_OPEN);
	FAKE_DB_ROW(STMT_INCIDENT_OPEN, "99", is_new, "0", "f");
	fake_db_forget();
}

/* Lays down one more connection; has_incident: "t" or "f". */
static void lay_one(struct service *s, const char *id, const char *client, const char *provider,
	const struct row *row, const char *has_incident)
{
	FAKE_DB_ROW(STMT_TOKEN_CURRENT, id, client, "Acme", provider, "eu", row->api_domain,
		"scope", "{}", "7", "live", "none", has_incident, "5",
		sealed_for(s, client, provider, "access", row->sealed_as, row->access),
		sealed_for(s, client, provider, "refresh", 5, REFRESH), "Bearer",
		"2026-01-31T11:00:00.000Z", row->expires_at, "2026-01-31T11:00:00.000Z", NULL, NULL,
		ACCOUNT);
}

static void lay(struct service *s, const struct row *row)
{
	fake_db_no_rows(STMT_TOKEN_CURRENT);
	lay_one(s, "42", "acme", "zoho_crm", row, "f");
	lay_incident("t");
}

static void lay_empty(const char *has_incident)
{
	fake_db_no_rows(STMT_TOKEN_CURRENT);
	FAKE_DB_ROW(STMT_TOKEN_CURRENT, "42", "acme", "Acme", "zoho_crm", "eu", NULL, NULL, "{}",
		NULL, "missing", "removed", has_incident, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
		NULL, NULL, NULL);
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

static void expect_noted(const char *ids, const char *copies, const char *environments)
{
	unit_same("connections", fake_db_param(STMT_CONNECTION_DISTRIBUTED, 0, 1), ids);
	unit_same("copies", fake_db_param(STMT_CONNECTION_DISTRIBUTED, 0, 2), copies);
	unit_same("environments", fake_db_param(STMT_CONNECTION_DISTRIBUTED, 0, 3), environments);
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
	assert_true(persisted.whole);
	expect_noted("{42}", "{5}", "{5}");
	assert_int_equal(fake_db_count(STMT_INCIDENT_RESOLVE), 0); /* none is open */
	expect_quiet();
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
	unit_same(
		"account", json_string_value(json_object_get(json, "accountFingerprint")), ACCOUNT);
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
		expect_noted("{42}", "{5}", "{-1}");
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
	lay_empty("f");
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	assert_false(persisted.database || persisted.file || persisted.environment);
	assert_true(persisted.whole);
	expect_noted("{42}", "{0}", "{0}");
	assert_int_equal(fake_db_count(STMT_INCIDENT_RESOLVE), 0); /* nothing is proved */
	expect_quiet();
	unit_same("environment", environment(s), NULL);
	assert_int_equal(copy(s, &generation, &content), ERR_NOT_FOUND);
	/* and once more, where nothing is left */
	lay_empty("f");
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	expect_noted("{42}", "{0}", "{0}");
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
	assert_false(persisted.whole);
	expect_noted("{42}", "{5}", "{-1}");
	expect_told(s, "incident.opened", "our_fault");
	assert_null(s->w.detail);
	service_set(s, CONF_runtime_dir, runtime_dir);
	service_set(s, CONF_state_dir, "/nonexistent/state");
	lay(s, &good);
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	assert_true(persisted.database && !persisted.file && persisted.environment);
	expect_noted("{42}", "{-1}", "{5}");
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
	/* the one that is open was told of when it was opened, also when it was a moment ago */
	lay_incident("f");
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	assert_int_equal(fake_db_count(STMT_INCIDENT_OPEN), 1);
	assert_int_equal(fake_db_count(STMT_OUTBOX_ADD), 0);
	assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 0);
	assert_int_equal(fake_db_count(STMT_INCIDENT_RESOLVE), 0);
	fake_db_no_rows(STMT_TOKEN_CURRENT);
	lay_one(s, "42", "acme", "zoho_crm", &good, "t");
	fake_db_forget();
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	expect_noted("{42}", "{5}", "{-1}");
	expect_quiet();
	/* a token that cannot be taken away is no less of one */
	lay_empty("f");
	lay_incident("t");
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	expect_noted("{42}", "{0}", "{-1}");
	expect_told(s, "incident.opened", "our_fault");
}

static void both_up_to_date_resolve_the_open_incident(void **state)
{
	struct service *s = *state;
	struct custody_persisted persisted;
	const char *payload;

	service_app(s);
	lay_one(s, "42", "acme", "zoho_crm", &good, "t");
	FAKE_DB_ROW(STMT_INCIDENT_RESOLVE, "42", "99", "120", "0", NULL);
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	unit_same("connections", fake_db_param(STMT_INCIDENT_RESOLVE, 0, 1), "{42}");
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

/* A file that was written proves nothing: the database says which connection is healthy. */
static void an_incident_of_what_is_not_healthy_goes_on(void **state)
{
	struct service *s = *state;
	struct custody_persisted persisted;

	service_app(s);
	lay_one(s, "42", "acme", "zoho_crm", &good, "t");
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	assert_true(persisted.whole);
	assert_int_equal(fake_db_count(STMT_INCIDENT_RESOLVE), 1); /* which finds none */
	expect_quiet();
}

static void expect_left_behind(struct service *s, const struct custody_persisted *persisted)
{
	struct secret *content = NULL;
	int64_t generation = 0;

	expect_noted("{42}", "{-1}", "{-1}");
	expect_told(s, "incident.opened", "our_fault");
	assert_true(persisted->database);
	assert_false(persisted->file || persisted->environment || persisted->whole);
	unit_same("environment", environment(s), NULL);
	assert_int_equal(copy(s, &generation, &content), ERR_NOT_FOUND);
}

static void what_does_not_open_reaches_nobody(void **state)
{
	static const struct row moved = {TOKEN, EXPIRES, NULL, 4};
	struct service *s = *state;
	struct custody_persisted persisted;

	service_app(s);
	lay(s, &moved);
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	expect_left_behind(s, &persisted);
	/* nor does what has no definition, or no app, any more */
	fake_db_no_rows(STMT_TOKEN_CURRENT);
	lay_one(s, "42", "acme", "gone", &good, "f");
	fake_db_forget();
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	assert_int_equal(fake_db_count(STMT_APP_GET), 0);
	expect_noted("{42}", "{-1}", "{-1}");
	assert_int_equal(fake_db_count(STMT_INCIDENT_OPEN), 1);
	assert_false(persisted.file || persisted.environment);
	fake_db_no_rows(STMT_APP_GET);
	lay(s, &good);
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	expect_left_behind(s, &persisted);
}

/* A database that goes away in the middle ends it, and is not taken for a fault of one. */
static void a_database_that_goes_away_ends_it(void **state)
{
	struct service *s = *state;
	struct custody_persisted persisted;

	service_app(s);
	lay(s, &good);
	fake_db_fail(STMT_APP_GET, ERR_DB_AWAY);
	assert_int_equal(distribute(s, &persisted), ERR_DB_AWAY);
	assert_int_equal(fake_db_count(STMT_CONNECTION_DISTRIBUTED), 0);
	assert_int_equal(fake_db_call(STMT_CONNECTION_LOCK_MANY, 0)->fate, FAKE_DB_ROLLED_BACK);
	assert_true(persisted.database && !persisted.file && !persisted.whole);
	expect_quiet();
}

/* The row is locked before it is read, or two could overtake each other; by a statement of its own,
 * or the token that is read could be the one before. */
static void the_connection_is_locked_first(void **state)
{
	struct service *s = *state;

	service_app(s);
	lay(s, &good);
	fake_db_fail(STMT_CONNECTION_LOCK_MANY, ERR_DB_TIMEOUT);
	assert_int_equal(distribute(s, &(struct custody_persisted){0}), ERR_DB_TIMEOUT);
	assert_int_equal(fake_db_total(), 1);
	unit_same("environment", environment(s), NULL);
	fake_db_fail(STMT_CONNECTION_LOCK_MANY, ERR_OK);
	fake_db_forget();
	assert_int_equal(distribute(s, &(struct custody_persisted){0}), ERR_OK);
	unit_same("locked", fake_db_param(STMT_CONNECTION_LOCK_MANY, 0, 1), "{42}");
	assert_int_equal(fake_db_call(STMT_CONNECTION_LOCK_MANY, 0)->fate, FAKE_DB_COMMITTED);
	assert_true(
		fake_db_call(STMT_CONNECTION_LOCK_MANY, 0) < fake_db_call(STMT_TOKEN_CURRENT, 0));
}

static void one_that_is_not_there_is_nowhere(void **state)
{
	struct service *s = *state;
	struct custody_persisted persisted;

	service_app(s);
	assert_int_equal(distribute(s, &persisted), ERR_OK);
	assert_false(persisted.database || persisted.file || persisted.environment);
	assert_int_equal(fake_db_count(STMT_CONNECTION_DISTRIBUTED), 0);
	expect_quiet();
}

/* --- many ------------------------------------------------------------------------------------- */

/* Seven: whole, whole with an incident, its token does not open, its definition is gone, empty, its
 * app does not open, whole; and one that is not there. */
static const int64_t many[] = {7, 6, 5, 4, 3, 2, 1, 9};

static void lay_many(struct service *s)
{
	static const struct row moved = {TOKEN, EXPIRES, NULL, 4};

	fake_db_no_rows(STMT_TOKEN_CURRENT);
	lay_one(s, "1", "a", "zoho_crm", &good, "f");
	lay_one(s, "2", "b", "zoho_crm", &good, "t");
	lay_one(s, "3", "c", "zoho_crm", &moved, "f");
	lay_one(s, "4", "d", "gone", &good, "t");
	FAKE_DB_ROW(STMT_TOKEN_CURRENT, "5", "e", "E", "zoho_crm", "eu", NULL, NULL, "{}", NULL,
		"missing", "removed", "f", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
		NULL);
	lay_one(s, "6", "f", "zoho_calendar", &good, "f");
	lay_one(s, "7", "f", "zoho_crm", &good, "f");
	lay_incident("t");
}

static const char *environment_of(struct service *s, const char *name)
{
	const char *path =
		work_printf(&s->w, "%s/env/%s.env", conf_text(&s->conf, CONF_runtime_dir), name);
	char *text = NULL;
	size_t n = 0;
	enum err err = file_read(&s->w, AT_FDCWD, path, 65536, &text, &n);

	assert_true(err == ERR_OK || err == ERR_NOT_FOUND);
	return err ? NULL : text;
}

static enum err copy_of(struct service *s, const char *client, const char *provider)
{
	struct secret *content = NULL;
	int64_t generation = 0;
	enum err err = vault_copy_read(&s->w, s->c.keyring, conf_text(&s->conf, CONF_state_dir),
		client, provider, &generation, &content);

	assert_true(err || generation == 5);
	if (!err)
		unit_holds("copy", secret_reveal(content),
			work_printf(&s->w, "\"client\":\"%s\"", client));
	return err;
}

static void many_are_one_commit_and_each_fails_alone(void **state)
{
	struct service *s = *state;
	struct custody_persisted persisted[UNIT_COUNT(many)];
	const struct custody_persisted *of = persisted;

	service_app(s);
	lay_many(s);
	FAKE_DB_ROW(STMT_INCIDENT_RESOLVE, "2", "98", "120", "0", NULL);
	assert_int_equal(custody_distribute_many(&s->w, &s->c, many, 8, persisted), ERR_OK);
	unit_same("locked", fake_db_param(STMT_CONNECTION_LOCK_MANY, 0, 1), "{7,6,5,4,3,2,1,9}");
	expect_noted("{1,2,3,4,5,6,7}", "{5,5,-1,-1,0,-1,5}", "{5,5,-1,-1,0,-1,5}");
	assert_int_equal(fake_db_count(STMT_CONNECTION_DISTRIBUTED), 1);
	/* whole: 1, 2, 7; empty: 5; failed: 3, 4, 6; not there: 9 */
	assert_true(of[6].whole && of[5].whole && of[0].whole);
	assert_true(of[6].file && of[5].environment && of[0].file && of[0].environment);
	assert_true(of[1].database && !of[1].whole && !of[1].file && !of[1].environment);
	assert_true(of[2].whole && !of[2].database && !of[2].file);
	assert_true(of[4].database && !of[4].whole && !of[4].file && !of[4].environment);
	assert_true(of[3].database && !of[3].whole && !of[3].file && !of[3].environment);
	assert_false(of[7].database || of[7].file || of[7].environment);
	/* of those that have one, the whole; of those that have none, the failed */
	unit_same("mended", fake_db_param(STMT_INCIDENT_RESOLVE, 0, 1), "{2}");
	assert_int_equal(fake_db_count(STMT_INCIDENT_OPEN), 2);
	unit_same("failed", fake_db_param(STMT_INCIDENT_OPEN, 0, 1), "3");
	unit_same("failed", fake_db_param(STMT_INCIDENT_OPEN, 1, 1), "6");
	assert_int_equal(fake_db_count(STMT_OUTBOX_ADD), 3);
	unit_same("told", fake_db_param(STMT_OUTBOX_ADD, 0, 1), "incident-99-incident.opened");
	unit_same("told", fake_db_param(STMT_OUTBOX_ADD, 2, 1), "incident-98-incident.resolved");
	unit_holds("payload", fake_db_param(STMT_OUTBOX_ADD, 2, 5), "\"clientId\":\"b\"");
	assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 3);
	assert_int_equal(fake_db_call(STMT_AUDIT_ADD, 2)->fate, FAKE_DB_COMMITTED);
}

static void many_reach_their_own_files(void **state)
{
	struct service *s = *state;
	struct custody_persisted persisted[UNIT_COUNT(many)];

	service_app(s);
	lay_many(s);
	assert_int_equal(custody_distribute_many(&s->w, &s->c, many, 8, persisted), ERR_OK);
	assert_int_equal(copy_of(s, "a", "zoho_crm"), ERR_OK);
	assert_int_equal(copy_of(s, "b", "zoho_crm"), ERR_OK);
	assert_int_equal(copy_of(s, "c", "zoho_crm"), ERR_NOT_FOUND);
	assert_int_equal(copy_of(s, "d", "gone"), ERR_NOT_FOUND);
	assert_int_equal(copy_of(s, "e", "zoho_crm"), ERR_NOT_FOUND);
	assert_int_equal(copy_of(s, "f", "zoho_calendar"), ERR_NOT_FOUND);
	assert_int_equal(copy_of(s, "f", "zoho_crm"), ERR_OK);
	unit_holds("a", environment_of(s, "a.zoho_crm"), "ZOHO_CRM_ACCESS_TOKEN=" TOKEN "\n");
	unit_holds("f", environment_of(s, "f.zoho_crm"), "ZOHO_CRM_GENERATION=5\n");
	unit_same("f", environment_of(s, "f.zoho_calendar"), NULL);
	unit_same("c", environment_of(s, "c.zoho_crm"), NULL);
	unit_same("d", environment_of(s, "d.gone"), NULL);
	unit_same("e", environment_of(s, "e.zoho_crm"), NULL);
}

/* An app is found and opened once, however many share it. */
static void many_share_their_app(void **state)
{
	struct service *s = *state;
	struct custody_persisted persisted[UNIT_COUNT(many)];

	service_app(s);
	lay_many(s);
	assert_int_equal(custody_distribute_many(&s->w, &s->c, many, 8, persisted), ERR_OK);
	assert_int_equal(fake_db_count(STMT_APP_GET), 2); /* zoho_crm's, zoho_calendar's */
}

static void many_that_could_not_be_noted_are_all_left(void **state)
{
	struct service *s = *state;
	struct custody_persisted persisted[UNIT_COUNT(many)];

	service_app(s);
	lay_many(s);
	fake_db_fail(STMT_CONNECTION_DISTRIBUTED, ERR_DB_AWAY);
	assert_int_equal(custody_distribute_many(&s->w, &s->c, many, 8, persisted), ERR_DB_AWAY);
	for (size_t i = 0; i < UNIT_COUNT(many); i++)
		assert_true(persisted[i].database && !persisted[i].whole && !persisted[i].file &&
			    !persisted[i].environment);
	assert_int_equal(fake_db_call(STMT_CONNECTION_LOCK_MANY, 0)->fate, FAKE_DB_ROLLED_BACK);
	assert_int_equal(fake_db_count(STMT_INCIDENT_OPEN), 0);
	/* and the next run brings them all */
	fake_db_fail(STMT_CONNECTION_DISTRIBUTED, ERR_OK);
	lay_many(s);
	assert_int_equal(custody_distribute_many(&s->w, &s->c, many, 8, persisted), ERR_OK);
	expect_noted("{1,2,3,4,5,6,7}", "{5,5,-1,-1,0,-1,5}", "{5,5,-1,-1,0,-1,5}");
}

/* The first connection of the first transaction takes two seconds; what is left is read anew. */
static struct service *slow_service;
static int second_fails;

static void be_slow(void)
{
	const char *path = work_printf(&slow_service->w, "%s/copies/a/.zoho_crm.vst.tmp",
		conf_text(&slow_service->conf, CONF_state_dir));

	if (access(path, F_OK) < 0)
		return;
	skew_ms += 2000;
	on_clock = NULL;
	fake_db_no_rows(STMT_TOKEN_CURRENT);
	lay_one(slow_service, "2", "b", "zoho_crm", &good, "f");
	lay_one(slow_service, "3", "c", "zoho_crm", &good, "f");
	fake_db_fail(STMT_CONNECTION_LOCK_MANY, second_fails ? ERR_DB_AWAY : ERR_OK);
}

static void lay_slow(struct service *s)
{
	fake_db_no_rows(STMT_TOKEN_CURRENT);
	lay_one(s, "1", "a", "zoho_crm", &good, "f");
	lay_one(s, "2", "b", "zoho_crm", &good, "f");
	lay_one(s, "3", "c", "zoho_crm", &good, "f");
	fake_db_forget();
	slow_service = s;
	on_clock = be_slow;
}

/* Whoever waits for a row gives up after seconds: a slow disk ends the transaction early. */
static void a_slow_disk_keeps_nobody_waiting(void **state)
{
	static const int64_t ids[] = {3, 1, 2};
	struct service *s = *state;
	struct custody_persisted persisted[3];

	service_app(s);
	lay_slow(s);
	assert_int_equal(custody_distribute_many(&s->w, &s->c, ids, 3, persisted), ERR_OK);
	assert_null(on_clock);
	assert_int_equal(fake_db_count(STMT_CONNECTION_LOCK_MANY), 2);
	unit_same("first", fake_db_param(STMT_CONNECTION_LOCK_MANY, 0, 1), "{3,1,2}");
	unit_same("first", fake_db_param(STMT_CONNECTION_DISTRIBUTED, 0, 1), "{1}");
	unit_same("then", fake_db_param(STMT_CONNECTION_LOCK_MANY, 1, 1), "{3,2}");
	unit_same("then", fake_db_param(STMT_CONNECTION_DISTRIBUTED, 1, 1), "{2,3}");
	for (int i = 0; i < 3; i++)
		assert_true(persisted[i].whole && persisted[i].file && persisted[i].environment);
	/* what was committed stays so when the rest is not */
	lay_slow(s);
	second_fails = 1;
	assert_int_equal(custody_distribute_many(&s->w, &s->c, ids, 3, persisted), ERR_DB_AWAY);
	second_fails = 0;
	assert_int_equal(fake_db_call(STMT_CONNECTION_DISTRIBUTED, 0)->fate, FAKE_DB_COMMITTED);
	assert_true(persisted[1].whole && persisted[1].file);
	assert_false(persisted[0].whole || persisted[0].file || persisted[2].environment);
}

static void more_than_the_most_is_a_bug(void **state)
{
	static const int64_t ids[CUSTODY_DISTRIBUTE_MAX + 1];
	static struct custody_persisted persisted[CUSTODY_DISTRIBUTE_MAX + 1];
	struct service *s = *state;

	assert_int_equal(
		custody_distribute_many(&s->w, &s->c, ids, CUSTODY_DISTRIBUTE_MAX + 1, persisted),
		ERR_BUG);
	assert_int_equal(fake_db_total(), 0);
	work_forgive(&s->w);
	assert_int_equal(custody_distribute_many(&s->w, &s->c, ids, 0, persisted), ERR_OK);
	assert_int_equal(fake_db_total(), 0);
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
		SERVICE_TEST(an_incident_of_what_is_not_healthy_goes_on),
		SERVICE_TEST(what_does_not_open_reaches_nobody),
		SERVICE_TEST(a_database_that_goes_away_ends_it),
		SERVICE_TEST(the_connection_is_locked_first),
		SERVICE_TEST(one_that_is_not_there_is_nowhere),
		SERVICE_TEST(many_are_one_commit_and_each_fails_alone),
		SERVICE_TEST(many_reach_their_own_files),
		SERVICE_TEST(many_share_their_app),
		SERVICE_TEST(many_that_could_not_be_noted_are_all_left),
		SERVICE_TEST(a_slow_disk_keeps_nobody_waiting),
		SERVICE_TEST(more_than_the_most_is_a_bug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
