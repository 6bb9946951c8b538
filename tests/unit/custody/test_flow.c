/* Starting a flow: nothing is stored before everything is known, the state leaves in the URL alone,
 * and all of it is one commit. */
#include "../support/service.h"

#include "base/text.h"
#include "custody/attempt.h"
#include "custody/flow.h"
#include "vault/crypto.h"

#include <string.h>

#define STATE_CHARS 43
#define UNRESERVED "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

static void lay(struct service *s)
{
	service_app(s);
	FAKE_DB_ROW(STMT_CLIENT_GET, "acme", "Acme");
	FAKE_DB_ROW(STMT_CONNECTION_ENSURE, "42", "f");
	FAKE_DB_ROW(STMT_ATTEMPT_BEGIN, "2026-01-31T12:10:00.000Z");
	FAKE_DB_ROW(STMT_REPORT_ONE, "healthy", "none");
	FAKE_DB_ROW(STMT_INCIDENT_OPEN, "99", "t", "0", "f");
}

static enum err begin(struct service *s, struct custody_flow *flow)
{
	work_forgive(&s->w);
	fake_db_forget();
	return custody_flow_begin(&s->w, &s->c, flow);
}

static struct custody_flow flow_of(enum custody_flow_kind kind)
{
	return (struct custody_flow){.client = "acme",
		.provider = "zoho_crm",
		.reason = "test",
		.kind = kind,
		.may_connect = 1};
}

/* A parameter of the authorization URL; it needs no decoding. */
static const char *url_param(struct service *s, const struct custody_flow *flow, const char *name)
{
	const char *at = strchr(flow->authorization_url, '?');
	size_t n = strlen(name);

	for (; at; at = strchr(at + 1, '&'))
		if (strncmp(at + 1, name, n) == 0 && at[n + 1] == '=')
			return arena_strndup(&s->w.arena, at + n + 2, strcspn(at + n + 2, "&#"));
	fail_msg("no %s in the URL", name);
	return NULL;
}

/* Whether a text is among the parameters of any statement that was run. */
static int is_stored(const char *text)
{
	for (int stmt = 0; stmt < STMT_COUNT; stmt++)
		for (size_t i = 0; i < fake_db_count((enum stmt)stmt); i++) {
			const struct fake_db_call *call = fake_db_call((enum stmt)stmt, i);

			for (size_t j = 0; j < call->n; j++)
				if (call->params[j].text &&
					memmem(call->params[j].text, call->params[j].n, text,
						strlen(text)))
					return 1;
		}
	return 0;
}

static void the_state_leaves_in_the_url_and_only_its_hash_is_kept(void **state)
{
	struct service *s = *state;
	struct custody_flow flow = flow_of(CUSTODY_FLOW_AUTHORIZE), again = flow;
	const struct fake_db_call *call;
	unsigned char hash[VAULT_HASH_BYTES];
	const char *value;

	lay(s);
	assert_int_equal(begin(s, &flow), ERR_OK);
	value = url_param(s, &flow, "state");
	assert_int_equal(strlen(value), STATE_CHARS);
	assert_int_equal(strspn(value, UNRESERVED), STATE_CHARS);
	assert_int_equal(vault_crypto_sha256(value, STATE_CHARS, hash), ERR_OK);
	call = fake_db_call(STMT_ATTEMPT_BEGIN, 0);
	assert_true(call->params[0].binary);
	assert_int_equal(call->params[0].n, sizeof(hash));
	assert_memory_equal(call->params[0].text, hash, sizeof(hash));
	assert_false(is_stored(value));
	assert_true(is_stored("acme")); /* it does look */
	assert_int_equal(begin(s, &again), ERR_OK);
	assert_string_not_equal(url_param(s, &again, "state"), value);
	assert_string_not_equal(
		url_param(s, &again, "code_challenge"), url_param(s, &flow, "code_challenge"));
}

/* Source: RFC 7636 section 4. */
static void the_verifier_is_kept_sealed_for_this_state_alone(void **state)
{
	struct service *s = *state;
	struct custody_flow flow = flow_of(CUSTODY_FLOW_AUTHORIZE);
	const struct fake_db_call *call;
	unsigned char hash[VAULT_HASH_BYTES];
	struct secret *verifier = NULL;
	struct vault_blob blob;

	lay(s);
	assert_int_equal(begin(s, &flow), ERR_OK);
	call = fake_db_call(STMT_ATTEMPT_BEGIN, 0);
	assert_true(call->params[6].binary);
	blob = (struct vault_blob){
		(unsigned char *)(uintptr_t)call->params[6].text, call->params[6].n};
	memcpy(hash, call->params[0].text, sizeof(hash));
	assert_int_equal(
		custody_attempt_open(&s->w, &s->c, "acme", "zoho_crm", hash, &blob, &verifier),
		ERR_OK);
	assert_int_equal(secret_len(verifier), 43);
	assert_false(is_stored(secret_reveal(verifier)));
	unit_lacks("url", flow.authorization_url, secret_reveal(verifier));
	hash[31] ^= 1;
	assert_int_equal(custody_attempt_open(&s->w, &s->c, "acme", "zoho_crm", hash, &blob,
				 &(struct secret *){0}),
		ERR_SEALED);
	assert_int_equal(vault_crypto_sha256(secret_reveal(verifier), 43, hash), ERR_OK);
	unit_same("challenge", url_param(s, &flow, "code_challenge"),
		text_base64url(&s->w, hash, sizeof(hash)));
	unit_same("method", url_param(s, &flow, "code_challenge_method"), "S256");
}

static void the_app_s_secret_goes_nowhere(void **state)
{
	struct service *s = *state;
	struct custody_flow flow = flow_of(CUSTODY_FLOW_AUTHORIZE);

	lay(s);
	assert_int_equal(begin(s, &flow), ERR_OK);
	assert_false(is_stored(SERVICE_APP_SECRET));
	unit_lacks("url", flow.authorization_url, SERVICE_APP_SECRET);
	unit_same("client_id", url_param(s, &flow, "client_id"), "1000.APP");
	assert_true(text_starts(flow.authorization_url, "https://accounts.zoho.eu/"));
}

static void one_commit_holds_attempt_and_event(void **state)
{
	struct service *s = *state;
	struct custody_flow flow = flow_of(CUSTODY_FLOW_AUTHORIZE);

	lay(s);
	assert_int_equal(begin(s, &flow), ERR_OK);
	assert_int_equal(fake_db_call(STMT_ATTEMPT_BEGIN, 0)->fate, FAKE_DB_COMMITTED);
	/* the client may have gone since it was looked for */
	assert_int_equal(fake_db_count(STMT_CLIENT_GET), 2);
	assert_int_equal(fake_db_call(STMT_CLIENT_GET, 0)->fate, FAKE_DB_PLAIN);
	assert_int_equal(fake_db_call(STMT_CLIENT_GET, 1)->fate, FAKE_DB_COMMITTED);
	assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 1);
	assert_int_equal(fake_db_call(STMT_AUDIT_ADD, 0)->fate, FAKE_DB_COMMITTED);
	unit_same("action", fake_db_param(STMT_AUDIT_ADD, 0, 8), "authorize.started");
	unit_same("connection", fake_db_param(STMT_ATTEMPT_BEGIN, 0, 2), "42");
	unit_same("app", fake_db_param(STMT_ATTEMPT_BEGIN, 0, 3), "7");
	unit_same("incident", fake_db_param(STMT_ATTEMPT_BEGIN, 0, 4), NULL);
	unit_same("kind", fake_db_param(STMT_ATTEMPT_BEGIN, 0, 5), "authorize");
	unit_same("datacenter", fake_db_param(STMT_ATTEMPT_BEGIN, 0, 6), "eu");
	unit_same("actor", fake_db_param(STMT_ATTEMPT_BEGIN, 0, 8), "key:0123456789ab");
	unit_same("life", fake_db_param(STMT_ATTEMPT_BEGIN, 0, 9), "600");
	unit_same("expires", flow.expires_at, "2026-01-31T12:10:00.000Z");
}

static void nothing_is_stored_for_what_cannot_begin(void **state)
{
	struct service *s = *state;
	struct custody_flow flow = flow_of(CUSTODY_FLOW_EMERGENCY);

	lay(s);
	fake_db_no_rows(STMT_APP_FIND);
	assert_int_equal(begin(s, &flow), ERR_APP_MISSING);
	assert_int_equal(fake_db_count(STMT_CLIENT_GET), 1);
	assert_int_equal(fake_db_count(STMT_APP_FIND), 1);
	assert_int_equal(fake_db_total(), 2);
	assert_null(flow.authorization_url);
	fake_db_no_rows(STMT_CLIENT_GET);
	assert_int_equal(begin(s, &flow), ERR_CLIENT_UNKNOWN);
	assert_int_equal(fake_db_total(), 1);
	flow.provider = "nobody";
	assert_int_equal(begin(s, &flow), ERR_INPUT);
	assert_string_equal(s->w.faults[0].field, "provider");
	assert_int_equal(fake_db_total(), 0);
}

static void an_app_whose_secret_does_not_open_begins_nothing(void **state)
{
	struct service *s = *state;
	struct custody_flow flow = flow_of(CUSTODY_FLOW_AUTHORIZE);

	lay(s);
	fake_db_no_rows(STMT_APP_FIND);
	FAKE_DB_ROW(
		STMT_APP_FIND, "7", "", "eu", "1000.APP", "\\x5653544c", "3", "https://x/", "{}");
	assert_int_equal(begin(s, &flow), ERR_SEALED);
	assert_int_equal(fake_db_count(STMT_ATTEMPT_BEGIN), 0);
}

static void a_failure_on_the_way_takes_all_of_it_back(void **state)
{
	static const enum stmt steps[] = {STMT_CONNECTION_ENSURE, STMT_INCIDENT_OPEN,
		STMT_OUTBOX_ADD, STMT_ATTEMPT_BEGIN, STMT_AUDIT_ADD};
	struct service *s = *state;

	lay(s);
	for (size_t i = 0; i < UNIT_COUNT(steps); i++) {
		struct custody_flow flow = flow_of(CUSTODY_FLOW_EMERGENCY);

		fake_db_fail(steps[i], ERR_DB_AWAY);
		assert_int_equal(begin(s, &flow), ERR_DB_AWAY);
		assert_int_equal(
			fake_db_call(STMT_CONNECTION_ENSURE, 0)->fate, FAKE_DB_ROLLED_BACK);
		for (int stmt = 0; stmt < STMT_COUNT; stmt++)
			for (size_t j = 0; j < fake_db_count((enum stmt)stmt); j++)
				assert_int_not_equal(
					fake_db_call((enum stmt)stmt, j)->fate, FAKE_DB_COMMITTED);
		fake_db_fail(steps[i], ERR_OK);
	}
}

static void an_emergency_opens_an_incident_or_joins_it(void **state)
{
	struct service *s = *state;
	struct custody_flow flow = flow_of(CUSTODY_FLOW_EMERGENCY);

	lay(s);
	assert_int_equal(begin(s, &flow), ERR_OK);
	assert_int_equal(flow.incident_id, 99);
	/* the cause is the connection's own; an emergency is no cause */
	unit_same("cause", fake_db_param(STMT_INCIDENT_OPEN, 0, 2), "none");
	unit_same("incident", fake_db_param(STMT_ATTEMPT_BEGIN, 0, 4), "99");
	unit_same("kind", fake_db_param(STMT_ATTEMPT_BEGIN, 0, 5), "emergency");
	assert_int_equal(fake_db_call(STMT_OUTBOX_ADD, 0)->fate, FAKE_DB_COMMITTED);
	unit_same("action", fake_db_param(STMT_AUDIT_ADD, 0, 8), "incident.opened");
	unit_same("action", fake_db_param(STMT_AUDIT_ADD, 1, 8), "emergency.requested");
	unit_same("action", fake_db_param(STMT_AUDIT_ADD, 2, 8), "authorize.started");
	fake_db_no_rows(STMT_INCIDENT_OPEN);
	FAKE_DB_ROW(STMT_INCIDENT_OPEN, "99", "f", "0", "f");
	assert_int_equal(begin(s, &flow), ERR_OK);
	assert_int_equal(fake_db_count(STMT_OUTBOX_ADD), 0);
	assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 2);
}

static void a_connection_that_is_made_is_audited(void **state)
{
	struct service *s = *state;
	struct custody_flow flow = flow_of(CUSTODY_FLOW_AUTHORIZE);

	lay(s);
	fake_db_no_rows(STMT_CONNECTION_ENSURE);
	FAKE_DB_ROW(STMT_CONNECTION_ENSURE, "42", "t");
	assert_int_equal(begin(s, &flow), ERR_OK);
	assert_int_equal(fake_db_count(STMT_CONNECTION_FIND), 0);
	assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 2);
	unit_same("action", fake_db_param(STMT_AUDIT_ADD, 0, 8), "connection.added");
	unit_same("action", fake_db_param(STMT_AUDIT_ADD, 1, 8), "authorize.started");
}

static void who_may_not_connect_needs_a_connection(void **state)
{
	static const enum custody_flow_kind kinds[] = {
		CUSTODY_FLOW_AUTHORIZE, CUSTODY_FLOW_EMERGENCY};
	struct service *s = *state;

	lay(s);
	for (size_t i = 0; i < UNIT_COUNT(kinds); i++) {
		struct custody_flow flow = flow_of(kinds[i]);

		flow.may_connect = 0;
		fake_db_no_rows(STMT_CONNECTION_FIND);
		assert_int_equal(begin(s, &flow), ERR_CONNECTION_UNKNOWN);
		unit_same("client", fake_db_param(STMT_CONNECTION_FIND, 0, 1), "acme");
		unit_same("provider", fake_db_param(STMT_CONNECTION_FIND, 0, 2), "zoho_crm");
		assert_int_equal(fake_db_call(STMT_CONNECTION_FIND, 0)->fate, FAKE_DB_ROLLED_BACK);
		assert_int_equal(fake_db_count(STMT_INCIDENT_OPEN), 0);
		assert_int_equal(fake_db_count(STMT_ATTEMPT_BEGIN), 0);
		assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 0);
		assert_int_equal(fake_db_count(STMT_CONNECTION_ENSURE), 0);
		FAKE_DB_ROW(STMT_CONNECTION_FIND, "43");
		assert_int_equal(begin(s, &flow), ERR_OK);
		unit_same("connection", fake_db_param(STMT_ATTEMPT_BEGIN, 0, 2), "43");
		assert_int_equal(fake_db_count(STMT_CONNECTION_ENSURE), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVICE_TEST(the_state_leaves_in_the_url_and_only_its_hash_is_kept),
		SERVICE_TEST(the_verifier_is_kept_sealed_for_this_state_alone),
		SERVICE_TEST(the_app_s_secret_goes_nowhere),
		SERVICE_TEST(one_commit_holds_attempt_and_event),
		SERVICE_TEST(nothing_is_stored_for_what_cannot_begin),
		SERVICE_TEST(an_app_whose_secret_does_not_open_begins_nothing),
		SERVICE_TEST(a_failure_on_the_way_takes_all_of_it_back),
		SERVICE_TEST(an_emergency_opens_an_incident_or_joins_it),
		SERVICE_TEST(a_connection_that_is_made_is_audited),
		SERVICE_TEST(who_may_not_connect_needs_a_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
