/* Incidents: told once, in the commit of what they are about; a gate's is of no client. */
#include "../support/service.h"

#include "base/jin.h"
#include "custody/trouble.h"

#include <string.h>

static const struct custody_gate_trouble of_app = {
	.gate_id = 31,
	.app_id = 7,
	.provider = "zoho_crm",
	.datacenter = "eu",
	.cause = "app_credentials",
	.reason = "the provider refuses the credentials",
};

struct step {
	enum err (*run)(struct work *w, struct store_db *db, void *context);
	const struct custody_gate_trouble *gate;
	int64_t incident_id;
};

static enum err open_gate(struct work *w, struct store_db *db, void *context)
{
	struct step *step = context;

	return custody_trouble_open_gate(w, db, step->gate, &step->incident_id);
}

static enum err resolve_gate(struct work *w, struct store_db *db, void *context)
{
	return custody_trouble_resolve_gate(w, db, ((struct step *)context)->gate);
}

static enum err run(struct service *s, struct step *step)
{
	fake_db_forget();
	return store_db_transaction(&s->w, s->c.db, step->run, step);
}

static const char *word(json_t *json, const char *name)
{
	return json_string_value(json_object_get(json, name));
}

/* One event and one message, in the commit, of incident 77. */
static json_t *expect_told(struct service *s, const char *kind)
{
	const char *payload;

	assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 1);
	assert_int_equal(fake_db_count(STMT_OUTBOX_ADD), 1);
	assert_int_equal(fake_db_call(STMT_AUDIT_ADD, 0)->fate, FAKE_DB_COMMITTED);
	assert_int_equal(fake_db_call(STMT_OUTBOX_ADD, 0)->fate, FAKE_DB_COMMITTED);
	unit_same("action", fake_db_param(STMT_AUDIT_ADD, 0, 8), kind);
	unit_same("incident", fake_db_param(STMT_AUDIT_ADD, 0, 13), "77");
	unit_same("message", fake_db_param(STMT_OUTBOX_ADD, 0, 1),
		work_printf(&s->w, "incident-77-%s", kind));
	unit_same("kind", fake_db_param(STMT_OUTBOX_ADD, 0, 2), kind);
	unit_same("incident", fake_db_param(STMT_OUTBOX_ADD, 0, 3), "77");
	payload = fake_db_param(STMT_OUTBOX_ADD, 0, 5);
	unit_same("detail", fake_db_param(STMT_AUDIT_ADD, 0, 17), payload);
	return jin_parse(&s->w, payload, strlen(payload));
}

static void expect_no_client(json_t *json)
{
	assert_null(json_object_get(json, "clientId"));
	unit_same("client", fake_db_param(STMT_AUDIT_ADD, 0, 10), NULL);
	unit_same("connection", fake_db_param(STMT_AUDIT_ADD, 0, 12), NULL);
	unit_same("connection", fake_db_param(STMT_OUTBOX_ADD, 0, 4), NULL);
}

static void a_gate_that_opens_is_told_once(void **state)
{
	struct service *s = *state;
	struct step step = {open_gate, &of_app, 0};
	json_t *json;

	FAKE_DB_ROW(STMT_INCIDENT_OPEN_GATE, "77", "t", "0");
	assert_int_equal(run(s, &step), ERR_OK);
	assert_int_equal(step.incident_id, 77);
	unit_same("gate", fake_db_param(STMT_INCIDENT_OPEN_GATE, 0, 1), "31");
	unit_same("cause", fake_db_param(STMT_INCIDENT_OPEN_GATE, 0, 2), "app_credentials");
	json = expect_told(s, "incident.opened");
	expect_no_client(json);
	unit_same("provider", word(json, "provider"), "zoho_crm");
	unit_same("datacenter", word(json, "datacenter"), "eu");
	unit_same("cause", word(json, "cause"), "app_credentials");
	unit_same("reason", word(json, "reason"), of_app.reason);
	assert_int_equal(json_integer_value(json_object_get(json, "appId")), 7);
	assert_null(json_object_get(json, "recoverySeconds"));
	unit_same("provider", fake_db_param(STMT_AUDIT_ADD, 0, 11), "zoho_crm");
	unit_same("object", fake_db_param(STMT_AUDIT_ADD, 0, 18), "gate");
	unit_same("object", fake_db_param(STMT_AUDIT_ADD, 0, 19), "31");
	/* and when it is open already, it goes on */
	fake_db_no_rows(STMT_INCIDENT_OPEN_GATE);
	FAKE_DB_ROW(STMT_INCIDENT_OPEN_GATE, "77", "f", "0");
	assert_int_equal(run(s, &step), ERR_OK);
	assert_int_equal(step.incident_id, 77);
	assert_int_equal(fake_db_total(), 1);
}

static void a_gate_that_closes_is_told_when_it_was_trouble(void **state)
{
	static const struct custody_gate_trouble of_provider = {.gate_id = 32,
		.provider = "zoho_crm",
		.datacenter = "",
		.cause = "provider_outage"};
	struct service *s = *state;
	struct step step = {resolve_gate, &of_provider, 0};
	json_t *json;

	assert_int_equal(run(s, &step), ERR_OK);
	unit_same("gate", fake_db_param(STMT_INCIDENT_RESOLVE_GATE, 0, 1), "32");
	assert_int_equal(fake_db_total(), 1);
	FAKE_DB_ROW(STMT_INCIDENT_RESOLVE_GATE, "77", "0", "0");
	assert_int_equal(run(s, &step), ERR_OK);
	json = expect_told(s, "incident.resolved");
	expect_no_client(json);
	unit_same("datacenter", word(json, "datacenter"), "");
	assert_null(json_object_get(json, "appId"));
	assert_int_equal(json_integer_value(json_object_get(json, "recoverySeconds")), 0);
	assert_true(json_is_integer(json_object_get(json, "recoverySeconds")));
}

static void what_cannot_be_told_does_not_happen(void **state)
{
	static const enum stmt steps[] = {STMT_INCIDENT_OPEN_GATE, STMT_AUDIT_ADD, STMT_OUTBOX_ADD};
	struct service *s = *state;
	struct step step = {open_gate, &of_app, 0};

	FAKE_DB_ROW(STMT_INCIDENT_OPEN_GATE, "77", "t", "0");
	for (size_t i = 0; i < UNIT_COUNT(steps); i++) {
		fake_db_fail(steps[i], ERR_DB_TIMEOUT);
		assert_int_equal(run(s, &step), ERR_DB_TIMEOUT);
		assert_int_equal(
			fake_db_call(STMT_INCIDENT_OPEN_GATE, 0)->fate, FAKE_DB_ROLLED_BACK);
		fake_db_fail(steps[i], ERR_OK);
	}
}

static enum err resolve(struct work *w, struct store_db *db, void *context)
{
	static const struct custody_mended mended[] = {
		{41, 5, "acme", "zoho_crm", "none"}, {42, 6, "globex", "zoho_crm", "none"}};

	(void)context;
	return custody_trouble_resolve(w, db, mended, 2);
}

/* The database says which of them are healthy, in whatever order. */
static void only_what_was_resolved_is_told(void **state)
{
	struct service *s = *state;
	struct step step = {resolve, NULL, 0};
	json_t *json;

	assert_int_equal(run(s, &step), ERR_OK);
	unit_same("connections", fake_db_param(STMT_INCIDENT_RESOLVE, 0, 1), "{41,42}");
	assert_int_equal(fake_db_total(), 1);
	FAKE_DB_ROW(STMT_INCIDENT_RESOLVE, "42", "77", "90", "0", NULL);
	assert_int_equal(run(s, &step), ERR_OK);
	json = expect_told(s, "incident.resolved");
	unit_same("client", word(json, "clientId"), "globex");
	unit_same("client", fake_db_param(STMT_AUDIT_ADD, 0, 10), "globex");
	unit_same("connection", fake_db_param(STMT_AUDIT_ADD, 0, 12), "42");
	unit_same("generation", fake_db_param(STMT_AUDIT_ADD, 0, 14), "6");
	unit_same("connection", fake_db_param(STMT_OUTBOX_ADD, 0, 4), "42");
	assert_null(json_object_get(json, "datacenter"));
	assert_int_equal(json_integer_value(json_object_get(json, "recoverySeconds")), 90);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVICE_TEST(a_gate_that_opens_is_told_once),
		SERVICE_TEST(a_gate_that_closes_is_told_when_it_was_trouble),
		SERVICE_TEST(what_cannot_be_told_does_not_happen),
		SERVICE_TEST(only_what_was_resolved_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
