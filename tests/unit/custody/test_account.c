/* Whose account it is: what is the same, who gets past a pin, and what a check in passing writes.
 */
#include "../support/service.h"

#include "base/text.h"
#include "custody/account.h"
#include "oauth/provider.h"
#include "vault/fingerprint.h"

#include <string.h>

#define GONE "0000000000112233445566778899aabbccddeeff" /* a key that is in no ring */

static const struct oauth_provider *provider(struct service *s, const char *name)
{
	return oauth_provider_find(s->c.providers, name);
}

static const struct secret *read_at(
	struct service *s, const char *name, const char *datacenter, int status, const char *body)
{
	const struct oauth_target target = {.provider = provider(s, name),
		.datacenter = oauth_provider_datacenter(provider(s, name), datacenter)};
	struct oauth_http_answer answer = {
		.transport = OAUTH_TRANSPORT_OK, .status = status, .content_type = ""};

	buf_init(&answer.body, &s->w, 4096);
	buf_text(&answer.body, body);
	return custody_account_read(&s->w, &target, &answer);
}

static const struct secret *account(struct service *s, const char *number)
{
	const struct secret *account = read_at(s, "zoho_crm", "us", 200,
		work_printf(&s->w, "{\"ZUID\":%s,\"Email\":\"a@b.example\"}", number));

	assert_non_null(account);
	return account;
}

static const char *fingerprint(struct service *s, const struct secret *account)
{
	const char *print = vault_fingerprint(&s->w, s->c.keyring, account);

	assert_non_null(print);
	return print;
}

static void an_account_is_provider_data_centre_and_number(void **state)
{
	static const char *const body = "{\"ZUID\":6900,\"Email\":\"a@b.example\"}";
	struct service *s = *state;
	const struct secret *it = read_at(s, "zoho_crm", "us", 200, body);

	assert_non_null(it);
	assert_true(secret_equal(
		it, read_at(s, "zoho_crm", "us", 200, "{\"ZUID\":\"6900\",\"Email\":\"new\"}")));
	assert_false(secret_equal(it, read_at(s, "zoho_crm", "eu", 200, body)));
	assert_false(secret_equal(it, read_at(s, "zoho_calendar", "us", 200, body)));
	assert_false(secret_equal(it, read_at(s, "zoho_crm", "us", 200, "{\"ZUID\":690}")));
	assert_null(read_at(s, "zoho_crm", "us", 401, body));
	assert_null(read_at(s, "zoho_crm", "us", 200, "{}"));
	assert_null(read_at(s, "zoho_crm", "us", 200, "<html>"));
}

static void fingerprints_are_compared_not_read(void **state)
{
	struct service *s = *state;
	const struct secret *a = account(s, "6900"), *b = account(s, "6901");

	assert_int_equal(custody_account_compare(&s->c, NULL, NULL), CUSTODY_ACCOUNT_UNKNOWN);
	assert_int_equal(
		custody_account_compare(&s->c, fingerprint(s, a), NULL), CUSTODY_ACCOUNT_UNKNOWN);
	assert_int_equal(custody_account_compare(&s->c, NULL, a), CUSTODY_ACCOUNT_FIRST);
	assert_int_equal(
		custody_account_compare(&s->c, fingerprint(s, a), a), CUSTODY_ACCOUNT_SAME);
	assert_int_equal(
		custody_account_compare(&s->c, fingerprint(s, a), b), CUSTODY_ACCOUNT_OTHER);
	assert_int_equal(custody_account_compare(&s->c, GONE, a), CUSTODY_ACCOUNT_UNREADABLE);
	assert_int_equal(custody_account_compare(&s->c, "", a), CUSTODY_ACCOUNT_UNREADABLE);
}

enum pinned { NOTHING, SAME, OTHER, LOST };
enum accepted { NOBODY, FOUND, PINNED };

static void who_gets_past_a_pin(void **state)
{
	static const struct {
		enum pinned pinned;
		int is_told, has_call;
		enum accepted accepted;
		enum err err;
	} cases[] = {
		{NOTHING, 1, 1, NOBODY, ERR_OK},
		{NOTHING, 0, 1, NOBODY, ERR_OK},
		{NOTHING, 0, 0, NOBODY, ERR_OK},
		{SAME, 1, 1, NOBODY, ERR_OK},
		{SAME, 1, 1, PINNED, ERR_OK},
		{SAME, 0, 1, NOBODY, ERR_PROVIDER_UNAVAILABLE},
		{SAME, 0, 1, PINNED, ERR_PROVIDER_UNAVAILABLE},
		{SAME, 0, 0, NOBODY, ERR_OK}, /* its definition names no call any more */
		{OTHER, 1, 1, NOBODY, ERR_ACCOUNT_CHANGED},
		{OTHER, 1, 1, PINNED, ERR_ACCOUNT_CHANGED},
		{OTHER, 1, 1, FOUND, ERR_OK},
		{OTHER, 0, 1, FOUND, ERR_PROVIDER_UNAVAILABLE},
		{LOST, 1, 1, NOBODY, ERR_ACCOUNT_CHANGED},
		{LOST, 1, 1, FOUND, ERR_OK},
	};
	struct service *s = *state;
	const struct secret *a = account(s, "6900"), *b = account(s, "6901");
	const char *const prints[] = {NULL, fingerprint(s, a), fingerprint(s, b), GONE};

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		const char *pinned = prints[cases[i].pinned];
		const char *const accepted[] = {NULL, fingerprint(s, a), pinned};
		struct oauth_provider p = *provider(s, "zoho_crm");
		enum err err;

		if (!cases[i].has_call)
			p.identity = (struct oauth_identity){NULL, NULL};
		work_forgive(&s->w);
		err = custody_account_check(&s->w, &s->c, &p, pinned, cases[i].is_told ? a : NULL,
			accepted[cases[i].accepted]);
		if (err != cases[i].err)
			fail_msg("case %zu: %s", i, err_slug(err));
		assert_int_equal(s->w.told_count, err == ERR_ACCOUNT_CHANGED ? 2 : 0);
		if (err != ERR_ACCOUNT_CHANGED)
			continue;
		unit_same("name", s->w.told[0].name, "pinned");
		unit_same("pinned", s->w.told[0].value, pinned);
		unit_same("name", s->w.told[1].name, "found");
		unit_same("found", s->w.told[1].value, fingerprint(s, a));
		unit_lacks("detail", s->w.detail, "6900");
	}
}

struct noting {
	struct service *s;
	struct custody_account_seen seen;
	enum custody_account_is is;
};

static enum err note(struct work *w, struct store_db *db, void *context)
{
	struct noting *n = context;

	return custody_account_note(w, db, &n->s->c, &n->seen, &n->is);
}

static enum custody_account_is noted(
	struct service *s, const struct secret *account, int64_t generation, const char *pinned)
{
	struct noting n = {s, {42, generation, "acme", "zoho_crm", account}, 0};

	fake_db_no_rows(STMT_CONNECTION_LOCK);
	FAKE_DB_ROW(STMT_CONNECTION_LOCK, "acme", "zoho_crm", "5", "live", "none", pinned);
	fake_db_forget();
	assert_int_equal(store_db_transaction(&s->w, s->c.db, note, &n), ERR_OK);
	assert_int_equal(fake_db_count(STMT_CONNECTION_LOCK), 1);
	return n.is;
}

static void expect_unpinned(void)
{
	assert_int_equal(fake_db_count(STMT_CONNECTION_PIN), 0);
	assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 0);
}

static void a_check_in_passing_pins_and_never_changes_a_pin(void **state)
{
	struct service *s = *state;
	const struct secret *a = account(s, "6900"), *b = account(s, "6901");

	fake_db_role(STORE_REFRESHER);
	assert_int_equal(noted(s, a, 5, NULL), CUSTODY_ACCOUNT_FIRST);
	unit_same("pinned", fake_db_param(STMT_CONNECTION_PIN, 0, 2), fingerprint(s, a));
	unit_same("event", fake_db_param(STMT_AUDIT_ADD, 0, 8), "connection.account_pinned");
	unit_holds("detail", fake_db_param(STMT_AUDIT_ADD, 0, 17), fingerprint(s, a));
	assert_int_equal(fake_db_call(STMT_AUDIT_ADD, 0)->fate, FAKE_DB_COMMITTED);
	assert_int_equal(noted(s, a, 5, fingerprint(s, a)), CUSTODY_ACCOUNT_SAME);
	expect_unpinned();
	assert_int_equal(noted(s, b, 5, fingerprint(s, a)), CUSTODY_ACCOUNT_OTHER);
	expect_unpinned();
	assert_int_equal(noted(s, b, 5, GONE), CUSTODY_ACCOUNT_UNREADABLE);
	expect_unpinned();
	assert_int_equal(noted(s, NULL, 5, NULL), CUSTODY_ACCOUNT_UNKNOWN);
	expect_unpinned();
	assert_int_equal(noted(s, b, 4, NULL), CUSTODY_ACCOUNT_UNKNOWN); /* replaced meanwhile */
	expect_unpinned();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVICE_TEST(an_account_is_provider_data_centre_and_number),
		SERVICE_TEST(fingerprints_are_compared_not_read),
		SERVICE_TEST(who_gets_past_a_pin),
		SERVICE_TEST(a_check_in_passing_pins_and_never_changes_a_pin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
