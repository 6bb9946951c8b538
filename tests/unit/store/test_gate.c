/* Gates and their incidents as they reach a statement and come back from it. */
#include "../support/fake_db.h"
#include "../support/unit.h"

#include "store/gate.h"
#include "store/incident.h"

static struct store_db *db;

static int begin(void **state)
{
	unit_begin(state);
	db = fake_db_begin(STORE_REFRESHER);
	return 0;
}

static int end(void **state)
{
	fake_db_end();
	return unit_end(state);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static const struct store_gate_key of_provider = {"zoho_crm", "eu", 0};
static const struct store_gate_key of_app = {"zoho_crm", "eu", 7};

static void a_note_is_written_whole(void **state)
{
	const struct store_gate_note note = {.key = of_app,
		.good = 3,
		.bad = 2,
		.code = "invalid_client",
		.cause = "app_credentials",
		.threshold = 1,
		.first_s = 300,
		.longest_s = 3600,
		.version = "v1"};
	static const char *const wanted[] = {"zoho_crm", "eu", "7", "3", "2", "invalid_client",
		"app_credentials", "1", "300", "3600", "v1"};
	struct store_gate_change change;

	FAKE_DB_ROW(STMT_GATE_NOTE, "21", "open", "t", "f", "290");
	assert_int_equal(store_gate_note(*state, db, &note, &change), ERR_OK);
	for (size_t i = 0; i < UNIT_COUNT(wanted); i++)
		unit_same(wanted[i], fake_db_param(STMT_GATE_NOTE, 0, i + 1), wanted[i]);
	assert_int_equal(change.id, 21);
	assert_int_equal(change.state, STORE_GATE_OPEN);
	assert_true(change.opened && !change.closed);
	assert_int_equal(change.retry_in_s, 290);
}

static void a_note_that_wrote_nothing(void **state)
{
	const struct store_gate_note note = {.key = of_provider, .good = 1};
	struct store_gate_change change = {.id = 9, .opened = 1};

	assert_int_equal(store_gate_note(*state, db, &note, &change), ERR_OK);
	assert_true(!change.id && !change.opened && !change.closed);
	assert_int_equal(change.state, STORE_GATE_CLOSED);
	unit_same("app", fake_db_param(STMT_GATE_NOTE, 0, 3), NULL);
	unit_same("code", fake_db_param(STMT_GATE_NOTE, 0, 6), NULL);
	unit_same("version", fake_db_param(STMT_GATE_NOTE, 0, 11), NULL);
}

static void states_have_their_names(void **state)
{
	static const char *const names[] = {
		[STORE_GATE_CLOSED] = "closed",
		[STORE_GATE_OPEN] = "open",
		[STORE_GATE_HALF_OPEN] = "half_open",
	};
	const struct store_gate_note note = {.key = of_provider, .good = 1};
	struct store_gate_change change;

	for (size_t i = 0; i < UNIT_COUNT(names); i++) {
		fake_db_no_rows(STMT_GATE_NOTE);
		FAKE_DB_ROW(STMT_GATE_NOTE, "21", names[i], "f", "t", NULL);
		assert_int_equal(store_gate_note(*state, db, &note, &change), ERR_OK);
		assert_int_equal(change.state, i);
		assert_true(change.closed && !change.opened);
	}
}

static void who_may_try(void **state)
{
	struct store_gate_key *keys = NULL;
	int is_mine = 1;
	size_t n = 9;

	assert_int_equal(store_gate_try(*state, db, 21, 45, &is_mine), ERR_OK);
	assert_false(is_mine);
	FAKE_DB_ROW(STMT_GATE_TRY, "21");
	assert_int_equal(store_gate_try(*state, db, 21, 45, &is_mine), ERR_OK);
	assert_true(is_mine);
	unit_same("gate", fake_db_param(STMT_GATE_TRY, 0, 1), "21");
	unit_same("try_s", fake_db_param(STMT_GATE_TRY, 0, 2), "45");
	fake_db_fail(STMT_GATE_TRY, ERR_DB_AWAY);
	assert_int_equal(store_gate_try(*state, db, 21, 45, &is_mine), ERR_DB_AWAY);
	assert_false(is_mine);

	assert_int_equal(store_gate_mended(*state, db, &keys, &n), ERR_OK);
	assert_int_equal(n, 0);
	FAKE_DB_ROW(STMT_GATE_MENDED, "zoho_crm", "eu", "7");
	FAKE_DB_ROW(STMT_GATE_MENDED, "hubspot", "", "8");
	assert_int_equal(store_gate_mended(*state, db, &keys, &n), ERR_OK);
	assert_int_equal(n, 2);
	assert_string_equal(keys[0].provider, "zoho_crm");
	assert_string_equal(keys[0].datacenter, "eu");
	assert_int_equal(keys[0].app_id, 7);
	assert_string_equal(keys[1].provider, "hubspot");
	assert_int_equal(keys[1].app_id, 8);
}

static void resuming_goes_on_until_little_is_left(void **state)
{
	size_t n = 9;

	FAKE_DB_ROW(STMT_GATE_RESUME, "13");
	assert_int_equal(store_gate_resume(*state, db, &of_provider, 15, &n), ERR_OK);
	assert_int_equal(n, 13);
	assert_int_equal(fake_db_count(STMT_GATE_RESUME), 1);
	unit_same("app", fake_db_param(STMT_GATE_RESUME, 0, 3), NULL);
	assert_int_equal(store_gate_resume(*state, db, &of_app, 0, &n), ERR_OK);
	unit_same("app", fake_db_param(STMT_GATE_RESUME, 1, 3), "7");
	fake_db_fail(STMT_GATE_RESUME, ERR_DB_AWAY);
	assert_int_equal(store_gate_resume(*state, db, &of_provider, 15, &n), ERR_DB_AWAY);
	assert_int_equal(n, 0);
}

/* What is left comes when its own time comes; a statement that is cut off would cost the
 * connection. */
static void resuming_ends_before_the_work(void **state)
{
	struct work hasty;
	size_t n = 9;

	(void)state;
	FAKE_DB_ROW(STMT_GATE_RESUME, "500");
	work_begin(&hasty, 4000);
	assert_int_equal(store_gate_resume(&hasty, db, &of_provider, 15, &n), ERR_OK);
	work_end(&hasty);
	assert_int_equal(n, 500);
	assert_int_equal(fake_db_count(STMT_GATE_RESUME), 1);
}

static void deaths_are_counted(void **state)
{
	int64_t lately = 9;

	assert_int_equal(store_gate_death(*state, db, &of_provider, 2, 300, &lately), ERR_OK);
	assert_int_equal(lately, 0);
	FAKE_DB_ROW(STMT_GATE_DEATH, "5");
	assert_int_equal(store_gate_death(*state, db, &of_provider, 2, 300, &lately), ERR_OK);
	assert_int_equal(lately, 5);
	unit_same("n", fake_db_param(STMT_GATE_DEATH, 0, 3), "2");
	unit_same("window_s", fake_db_param(STMT_GATE_DEATH, 0, 4), "300");
}

static void a_gate_has_incidents_of_its_own(void **state)
{
	struct work *w = *state;
	struct store_opened opened;
	struct store_resolved resolved;

	w->origin.actor = "system:refresh";
	FAKE_DB_ROW(STMT_INCIDENT_OPEN_GATE, "99", "f", "0");
	assert_int_equal(
		store_incident_open_gate(w, db, 21, "provider_outage", "http_503", &opened),
		ERR_OK);
	assert_int_equal(opened.id, 99);
	assert_false(opened.is_opened);
	unit_same("gate", fake_db_param(STMT_INCIDENT_OPEN_GATE, 0, 1), "21");
	unit_same("cause", fake_db_param(STMT_INCIDENT_OPEN_GATE, 0, 2), "provider_outage");
	unit_same("who", fake_db_param(STMT_INCIDENT_OPEN_GATE, 0, 3), "system:refresh");
	unit_same("reason", fake_db_param(STMT_INCIDENT_OPEN_GATE, 0, 4), "http_503");
	assert_int_equal(store_incident_resolve_gate(w, db, 21, &resolved), ERR_OK);
	assert_true(!resolved.id && !resolved.recovery_s);
	FAKE_DB_ROW(STMT_INCIDENT_RESOLVE_GATE, "99", "90", "0");
	assert_int_equal(store_incident_resolve_gate(w, db, 21, &resolved), ERR_OK);
	assert_true(resolved.id == 99 && resolved.recovery_s == 90);
	unit_same("gate", fake_db_param(STMT_INCIDENT_RESOLVE_GATE, 0, 1), "21");
	unit_same("who", fake_db_param(STMT_INCIDENT_RESOLVE_GATE, 0, 2), "system:refresh");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(a_note_is_written_whole),
		STORE_TEST(a_note_that_wrote_nothing),
		STORE_TEST(states_have_their_names),
		STORE_TEST(who_may_try),
		STORE_TEST(resuming_goes_on_until_little_is_left),
		STORE_TEST(resuming_ends_before_the_work),
		STORE_TEST(deaths_are_counted),
		STORE_TEST(a_gate_has_incidents_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
