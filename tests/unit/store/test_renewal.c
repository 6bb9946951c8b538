/* Renewals as they reach a statement and come back from it: every field under its name, null where
 * it is not said, and each answer at the row it is for. */
#include "../support/fake_db.h"
#include "../support/unit.h"

#include "base/jin.h"
#include "store/audit.h"
#include "store/renewal.h"
#include "store/run.h"

#include <string.h>

#define TOKEN_BYTES 16500 /* the largest, sealed */

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

static struct store_renewed renewed(int64_t id)
{
	return (struct store_renewed){
		.connection_id = id,
		.fence = 3,
		.from = 5,
		.to = 6,
		.access = {"\x00\xAb", 2},
		.refresh = {"\xff\x01\x10", 3},
		.access_fingerprint = "fp-a",
		.refresh_fingerprint = "fp-r",
		.token_type = "Bearer",
		.lifetime_s = 3600,
		.refresh_lifetime_s = 86400,
		.idle_ttl_s = 7200,
		.asked_at = "2026-01-31 12:00:00.123456+00",
		.api_domain = "https://api.example",
		.scope = "a \"b\"",
		.scope_is = "shrunk",
		.margin_s = 600,
		.late_s = 300,
		.why = "due",
	};
}

static void every_field_of_a_renewed_token_is_written(void **state)
{
	struct store_renewed row = renewed(42);
	enum store_settled settled;

	FAKE_DB_ROW(STMT_RENEWAL_RENEWED, "42", "renewed", NULL);
	assert_int_equal(store_renewal_renewed(*state, db, &row, 1, &settled), ERR_OK);
	assert_int_equal(settled, STORE_RENEWED);
	assert_string_equal(fake_db_param(STMT_RENEWAL_RENEWED, 0, 1),
		"[{\"id\":42,\"fence\":3,\"from\":5,\"to\":6,\"access\":\"00ab\",\"refresh\":"
		"\"ff0110\",\"access_fp\":\"fp-a\",\"refresh_fp\":\"fp-r\",\"type\":\"Bearer\","
		"\"life\":3600,\"refresh_life\":86400,\"idle\":7200,\"asked_at\":"
		"\"2026-01-31 12:00:00.123456+00\",\"api_domain\":\"https://api.example\","
		"\"scope\":\"a \\\"b\\\"\",\"scope_is\":\"shrunk\",\"margin\":600,\"late\":300,"
		"\"why\":\"due\"}]");
}

static void what_is_not_said_is_null(void **state)
{
	struct store_renewed row = renewed(42);
	enum store_settled settled;

	row.lifetime_s = row.refresh_lifetime_s = -1;
	row.idle_ttl_s = 0;
	row.api_domain = row.scope = NULL;
	assert_int_equal(store_renewal_renewed(*state, db, &row, 1, &settled), ERR_OK);
	unit_holds("a token without end", fake_db_param(STMT_RENEWAL_RENEWED, 0, 1),
		"\"life\":null,\"refresh_life\":null,\"idle\":null,\"asked_at\":"
		"\"2026-01-31 12:00:00.123456+00\",\"api_domain\":null,\"scope\":null,");
	row.lifetime_s = row.refresh_lifetime_s = 0;
	assert_int_equal(store_renewal_renewed(*state, db, &row, 1, &settled), ERR_OK);
	unit_holds("one that ended at once", fake_db_param(STMT_RENEWAL_RENEWED, 1, 1),
		"\"life\":0,\"refresh_life\":0,");
}

static void events_say_who_asked(void **state)
{
	struct work *w = *state;
	struct store_renewed row = renewed(42);
	struct store_failed failed = {.connection_id = 42};
	enum store_settled settled;
	int counts;
	int64_t id;
	const char *const wanted[] = {store_audit_host(), "vestal-refresh " VESTAL_VERSION,
		"request-1", "7", "system:refresh", "cron", NULL};

	assert_int_equal(store_renewal_renewed(w, db, &row, 1, &settled), ERR_OK);
	unit_same("no run", fake_db_param(STMT_RENEWAL_RENEWED, 0, 5), NULL);
	unit_same("nobody", fake_db_param(STMT_RENEWAL_RENEWED, 0, 6), "anonymous");
	unit_same("no proof", fake_db_param(STMT_RENEWAL_RENEWED, 0, 7), "none");

	FAKE_DB_ROW(STMT_RUN_BEGIN, "7");
	assert_int_equal(store_run_begin(w, db, "host", "due", 30, &id), ERR_OK);
	w->origin = (struct origin){
		.actor = "system:refresh", .actor_auth = "cron", .request_id = "request-1"};
	assert_int_equal(store_renewal_renewed(w, db, &row, 1, &settled), ERR_OK);
	assert_int_equal(store_renewal_failed(w, db, &failed, 1, &counts), ERR_OK);
	for (size_t i = 0; i < UNIT_COUNT(wanted); i++) {
		unit_same("renewed", fake_db_param(STMT_RENEWAL_RENEWED, 1, i + 2), wanted[i]);
		unit_same("failed", fake_db_param(STMT_RENEWAL_FAILED, 0, i + 2), wanted[i]);
	}
}

static void answers_find_their_rows(void **state)
{
	const int64_t ids[] = {30, 10, 50, 20, 40};
	struct store_renewed rows[5];
	enum store_settled settled[5];

	for (size_t i = 0; i < 5; i++)
		rows[i] = renewed(ids[i]);
	FAKE_DB_ROW(STMT_RENEWAL_RENEWED, "10", "repeated", NULL);
	FAKE_DB_ROW(STMT_RENEWAL_RENEWED, "30", "renewed", NULL);
	FAKE_DB_ROW(STMT_RENEWAL_RENEWED, "40", "superseded", NULL);
	FAKE_DB_ROW(STMT_RENEWAL_RENEWED, "50", "renewed", NULL);
	assert_int_equal(store_renewal_renewed(*state, db, rows, 5, settled), ERR_OK);
	assert_int_equal(settled[0], STORE_RENEWED);
	assert_int_equal(settled[1], STORE_REPEATED);
	assert_int_equal(settled[2], STORE_RENEWED);
	assert_int_equal(settled[3], STORE_GONE);
	assert_int_equal(settled[4], STORE_SUPERSEDED);
}

/* The largest tokens there can be, as many as a batch takes: the work's memory holds them, and each
 * is sent once. */
static void the_largest_tokens_go_in_pieces(void **state)
{
	static unsigned char bytes[TOKEN_BYTES];
	static struct store_renewed rows[STORE_RENEWAL_BATCH_MAX];
	static enum store_settled settled[STORE_RENEWAL_BATCH_MAX];
	struct work *w = *state;
	size_t calls, next = 0;

	for (size_t i = 0; i < STORE_RENEWAL_BATCH_MAX; i++) {
		rows[i] = renewed((int64_t)i + 1);
		rows[i].access = rows[i].refresh = (struct store_sealed){bytes, sizeof(bytes)};
	}
	FAKE_DB_ROW(STMT_RENEWAL_RENEWED, "1", "repeated", NULL);
	FAKE_DB_ROW(STMT_RENEWAL_RENEWED, "256", "renewed", NULL);
	assert_int_equal(
		store_renewal_renewed(w, db, rows, STORE_RENEWAL_BATCH_MAX, settled), ERR_OK);
	calls = fake_db_count(STMT_RENEWAL_RENEWED);
	assert_in_range(calls, 2, 16);
	for (size_t call = 0; call < calls; call++) {
		const char *text = fake_db_param(STMT_RENEWAL_RENEWED, call, 1);
		json_t *array = jin_parse(w, text, strlen(text));

		assert_true(json_is_array(array));
		for (size_t i = 0; i < json_array_size(array); i++)
			assert_int_equal(
				json_integer_value(json_object_get(json_array_get(array, i), "id")),
				rows[next++].connection_id);
	}
	assert_int_equal(next, STORE_RENEWAL_BATCH_MAX);
	for (size_t i = 0; i < STORE_RENEWAL_BATCH_MAX; i++)
		assert_int_equal(settled[i], i == 0     ? STORE_REPEATED
					     : i == 255 ? STORE_RENEWED
							: STORE_GONE);
}

static void one_too_large_for_any_statement_is_refused(void **state)
{
	static unsigned char bytes[3 * 1024 * 1024];
	struct store_renewed row = renewed(1);
	enum store_settled settled;

	row.access = (struct store_sealed){bytes, sizeof(bytes)};
	assert_int_equal(store_renewal_renewed(*state, db, &row, 1, &settled), ERR_BUG);
	assert_int_equal(fake_db_total(), 0);
}

static void every_field_of_a_failure_is_written(void **state)
{
	const struct store_failed rows[] = {
		{.connection_id = 42,
			.fence = 3,
			.from = 5,
			.state = "live",
			.cause = "ambiguous_refusal",
			.wait_s = 120,
			.deferred_by = "refusal",
			.refusals = 1,
			.is_ambiguous = 0,
			.was_asked = 1,
			.code = "invalid_code",
			.why = "read"},
		{.connection_id = 41,
			.fence = 1,
			.from = 9,
			.state = "invalid",
			.cause = "user_revoked",
			.wait_s = -1,
			.is_ambiguous = 1,
			.code = "invalid_grant",
			.why = "all"},
	};
	int counts[2] = {7, 7};

	FAKE_DB_ROW(STMT_RENEWAL_FAILED, "41", "f", NULL);
	FAKE_DB_ROW(STMT_RENEWAL_FAILED, "42", "t", NULL);
	assert_int_equal(store_renewal_failed(*state, db, rows, 2, counts), ERR_OK);
	assert_int_equal(counts[0], 1);
	assert_int_equal(counts[1], 0);
	assert_string_equal(fake_db_param(STMT_RENEWAL_FAILED, 0, 1),
		"[{\"id\":42,\"fence\":3,\"from\":5,\"state\":\"live\",\"cause\":"
		"\"ambiguous_refusal\",\"wait_s\":120,\"deferred_by\":\"refusal\",\"refusals\":1,"
		"\"ambiguous\":false,\"asked\":true,\"code\":\"invalid_code\",\"why\":\"read\"},"
		"{\"id\":41,\"fence\":1,\"from\":9,\"state\":\"invalid\",\"cause\":"
		"\"user_revoked\",\"wait_s\":null,\"deferred_by\":null,\"refusals\":0,"
		"\"ambiguous\":true,\"asked\":false,\"code\":\"invalid_grant\",\"why\":\"all\"}]");
}

static void a_failure_without_an_answer_does_not_count(void **state)
{
	const struct store_failed row = {.connection_id = 42};
	int counts = 7;

	assert_int_equal(store_renewal_failed(*state, db, &row, 1, &counts), ERR_OK);
	assert_int_equal(counts, 0);
}

static void every_field_of_a_deferral_is_written(void **state)
{
	const struct store_deferred rows[] = {
		{42, 3, 90, "gate", 0}, {41, 1, -1, NULL, 1}, {40, 2, 0, "quota", 0}};

	assert_int_equal(store_renewal_deferred(*state, db, rows, 3), ERR_OK);
	assert_string_equal(fake_db_param(STMT_RENEWAL_DEFERRED, 0, 1),
		"[{\"id\":42,\"fence\":3,\"wait_s\":90,\"deferred_by\":\"gate\",\"is_try\":false},"
		"{\"id\":41,\"fence\":1,\"wait_s\":null,\"deferred_by\":null,\"is_try\":true},"
		"{\"id\":40,\"fence\":2,\"wait_s\":0,\"deferred_by\":\"quota\",\"is_try\":false}]");
}

#define CLAIM_ROW(id, ages, ...)                                                                   \
	FAKE_DB_ROW(STMT_RENEWAL_CLAIM, id, "acme", "zoho_crm", "eu", "7", "https://api", "a b",   \
		"4", "9", "8", "\\x0102", "quarantined", "ambiguous_rotation", "3", "2", "t", "f", \
		"t", "2026-01-31 12:00:00.123456+00", ages, __VA_ARGS__)
#define NO_GATES NULL, NULL, NULL, NULL, NULL, NULL, NULL

static const struct store_lease lease = {"spool-a", 60, "read", 8};

static void a_claim_is_read_whole(void **state)
{
	const int64_t ids[] = {42, 43};
	struct store_claim claims[2];
	size_t n = 9;

	CLAIM_ROW("42", "{500,12}", "21", "open", "30", "v1", "22", "half_open", "90");
	assert_int_equal(store_renewal_claim(*state, db, &lease, ids, 2, claims, &n), ERR_OK);
	assert_int_equal(n, 1);
	assert_int_equal(claims[0].connection_id, 42);
	assert_int_equal(claims[0].app_id, 7);
	assert_int_equal(claims[0].fence, 4);
	assert_int_equal(claims[0].last_generation, 9);
	assert_int_equal(claims[0].generation, 8);
	assert_string_equal(claims[0].client, "acme");
	assert_string_equal(claims[0].provider, "zoho_crm");
	assert_string_equal(claims[0].datacenter, "eu");
	assert_string_equal(claims[0].api_domain, "https://api");
	assert_string_equal(claims[0].scope, "a b");
	assert_int_equal(claims[0].refresh.n, 2);
	assert_memory_equal(claims[0].refresh.bytes, "\x01\x02", 2);
	assert_string_equal(claims[0].state, "quarantined");
	assert_string_equal(claims[0].cause, "ambiguous_rotation");
	assert_int_equal(claims[0].failures, 3);
	assert_int_equal(claims[0].refusals, 2);
	assert_true(claims[0].is_ambiguous && !claims[0].grant_is_over && claims[0].access_lives);
	assert_string_equal(claims[0].claimed_at, "2026-01-31 12:00:00.123456+00");
	assert_int_equal(claims[0].mint_count, 2);
	assert_int_equal(claims[0].mint_ages_s[0], 500);
	assert_int_equal(claims[0].mint_ages_s[1], 12);
	assert_int_equal(claims[0].provider_gate.id, 21);
	assert_int_equal(claims[0].provider_gate.state, STORE_GATE_OPEN);
	assert_int_equal(claims[0].provider_gate.retry_in_s, 30);
	assert_string_equal(claims[0].provider_gate.version, "v1");
	assert_int_equal(claims[0].app_gate.id, 22);
	assert_int_equal(claims[0].app_gate.state, STORE_GATE_HALF_OPEN);
	assert_int_equal(claims[0].app_gate.retry_in_s, 90);
	assert_null(claims[0].app_gate.version);
}

static void a_claim_asks_for_what_it_means(void **state)
{
	const int64_t ids[] = {42, 7, INT64_MAX};
	struct store_lease any = lease;
	struct store_claim claims[3];
	size_t n;

	assert_int_equal(store_renewal_claim(*state, db, &lease, ids, 3, claims, &n), ERR_OK);
	assert_int_equal(n, 0);
	unit_same("ids", fake_db_param(STMT_RENEWAL_CLAIM, 0, 1), "{42,7,9223372036854775807}");
	unit_same("owner", fake_db_param(STMT_RENEWAL_CLAIM, 0, 2), "spool-a");
	unit_same("lease_s", fake_db_param(STMT_RENEWAL_CLAIM, 0, 3), "60");
	unit_same("why", fake_db_param(STMT_RENEWAL_CLAIM, 0, 4), "read");
	unit_same("generation", fake_db_param(STMT_RENEWAL_CLAIM, 0, 5), "8");
	any.generation = 0;
	assert_int_equal(store_renewal_claim(*state, db, &any, ids, 1, claims, &n), ERR_OK);
	unit_same("one id", fake_db_param(STMT_RENEWAL_CLAIM, 1, 1), "{42}");
	unit_same("any generation", fake_db_param(STMT_RENEWAL_CLAIM, 1, 5), NULL);
}

static void mint_ages_are_read(void **state)
{
	static const struct {
		const char *text;
		enum err err;
		size_t n;
		int64_t last;
	} cases[] = {
		{"{}", ERR_OK, 0, 0},
		{"{7}", ERR_OK, 1, 7},
		{"{31,30,29,28,27,26,25,24,23,22,21,20,19,18,17,16,15,14,13,12,11,10,9,8,7,6,5,4,3,"
		 "2,1}",
			ERR_OK, STORE_RENEWAL_MINTS_MAX, 1},
		{"{32,31,30,29,28,27,26,25,24,23,22,21,20,19,18,17,16,15,14,13,12,11,10,9,8,7,6,5,"
		 "4,3,2,1}",
			ERR_DB, 0, 0},
		{NULL, ERR_DB, 0, 0},
		{"", ERR_DB, 0, 0},
		{"7", ERR_DB, 0, 0},
		{"{", ERR_DB, 0, 0},
		{"{7", ERR_DB, 0, 0},
		{"{7,", ERR_DB, 0, 0},
		{"{,7}", ERR_DB, 0, 0},
		{"{7;8}", ERR_DB, 0, 0},
		{"{NULL}", ERR_DB, 0, 0},
	};
	const int64_t id = 42;

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		struct store_claim claim;
		size_t n = 9;

		fake_db_no_rows(STMT_RENEWAL_CLAIM);
		CLAIM_ROW("42", cases[i].text, NO_GATES);
		assert_int_equal(
			store_renewal_claim(*state, db, &lease, &id, 1, &claim, &n), cases[i].err);
		assert_int_equal(n, cases[i].err ? 0 : 1);
		if (cases[i].err)
			continue;
		assert_int_equal(claim.mint_count, cases[i].n);
		if (cases[i].n)
			assert_int_equal(claim.mint_ages_s[cases[i].n - 1], cases[i].last);
		assert_int_equal(claim.provider_gate.id, 0);
		assert_int_equal(claim.provider_gate.state, STORE_GATE_CLOSED);
		assert_null(claim.provider_gate.version);
	}
}

/* Whoever makes a batch has room for no more than he asked for. */
static void never_more_than_there_is_room_for(void **state)
{
	const struct store_renewal_filter filter = {"acme", "zoho_crm"};
	const int64_t id = 42;
	struct store_claim claim;
	int64_t ids[2];
	size_t n;

	for (int i = 0; i < 2; i++) {
		CLAIM_ROW("42", "{}", NO_GATES);
		FAKE_DB_ROW(STMT_RENEWAL_DUE, "42");
		FAKE_DB_ROW(STMT_RENEWAL_ALL, "42");
		FAKE_DB_ROW(STMT_RENEWAL_STALE, "43");
	}
	assert_int_equal(store_renewal_claim(*state, db, &lease, &id, 1, &claim, &n), ERR_BUG);
	assert_int_equal(n, 0);
	assert_int_equal(store_renewal_due(*state, db, &filter, 1, ids, &n), ERR_BUG);
	assert_int_equal(store_renewal_all(*state, db, &filter, 5, 1, ids, &n), ERR_BUG);
	assert_int_equal(store_renewal_stale(*state, db, 5, 1, ids, &n), ERR_BUG);
	assert_int_equal(n, 0);
	assert_int_equal(store_renewal_due(*state, db, &filter, 2, ids, &n), ERR_OK);
	assert_int_equal(n, 2);
	assert_int_equal(store_renewal_stale(*state, db, 5, 2, ids, &n), ERR_OK);
	assert_int_equal(ids[1], 43);
	unit_same("all: limit", fake_db_param(STMT_RENEWAL_ALL, 0, 1), "1");
	unit_same("all: client", fake_db_param(STMT_RENEWAL_ALL, 0, 2), "acme");
	unit_same("all: provider", fake_db_param(STMT_RENEWAL_ALL, 0, 3), "zoho_crm");
	unit_same("all: after", fake_db_param(STMT_RENEWAL_ALL, 0, 4), "5");
	unit_same("due: client", fake_db_param(STMT_RENEWAL_DUE, 0, 2), "acme");
	unit_same("stale: after", fake_db_param(STMT_RENEWAL_STALE, 0, 1), "5");
	unit_same("stale: limit", fake_db_param(STMT_RENEWAL_STALE, 0, 2), "1");
}

static void a_batch_has_its_ceiling_and_may_be_empty(void **state)
{
	static const int64_t ids[STORE_RENEWAL_BATCH_MAX + 1];
	static struct store_claim claims[STORE_RENEWAL_BATCH_MAX + 1];
	static struct store_renewed rows[STORE_RENEWAL_BATCH_MAX + 1];
	static struct store_failed failed[STORE_RENEWAL_BATCH_MAX + 1];
	static struct store_deferred deferred[STORE_RENEWAL_BATCH_MAX + 1];
	static enum store_settled settled[STORE_RENEWAL_BATCH_MAX + 1];
	static int counts[STORE_RENEWAL_BATCH_MAX + 1];
	const enum err wanted[] = {ERR_OK, ERR_BUG};
	const size_t sizes[] = {0, STORE_RENEWAL_BATCH_MAX + 1};

	for (size_t i = 0; i < UNIT_COUNT(sizes); i++) {
		size_t n;

		assert_int_equal(store_renewal_claim(*state, db, &lease, ids, sizes[i], claims, &n),
			wanted[i]);
		assert_int_equal(n, 0);
		assert_int_equal(
			store_renewal_renewed(*state, db, rows, sizes[i], settled), wanted[i]);
		assert_int_equal(
			store_renewal_failed(*state, db, failed, sizes[i], counts), wanted[i]);
		assert_int_equal(store_renewal_deferred(*state, db, deferred, sizes[i]), wanted[i]);
	}
	assert_int_equal(fake_db_total(), 0);
}

static void a_database_that_is_away_is_told(void **state)
{
	struct store_renewed row = renewed(42);
	const struct store_failed failed = {.connection_id = 42};
	const int64_t id = 42;
	enum store_settled settled = STORE_RENEWED;
	struct store_claim claim;
	int counts = 7;
	size_t n = 9;

	fake_db_fail(STMT_RENEWAL_RENEWED, ERR_DB_AWAY);
	fake_db_fail(STMT_RENEWAL_FAILED, ERR_DB_TIMEOUT);
	fake_db_fail(STMT_RENEWAL_CLAIM, ERR_DB_AWAY);
	fake_db_fail(STMT_RENEWAL_RELEASE, ERR_DB_AWAY);
	assert_int_equal(store_renewal_renewed(*state, db, &row, 1, &settled), ERR_DB_AWAY);
	assert_int_equal(store_renewal_failed(*state, db, &failed, 1, &counts), ERR_DB_TIMEOUT);
	assert_int_equal(counts, 7);
	assert_int_equal(store_renewal_claim(*state, db, &lease, &id, 1, &claim, &n), ERR_DB_AWAY);
	assert_int_equal(n, 0);
	assert_int_equal(store_renewal_release(*state, db, "gone", &n), ERR_DB_AWAY);
	assert_int_equal(n, 0);
}

static void leases_that_were_released_are_counted(void **state)
{
	size_t n = 9;

	assert_int_equal(store_renewal_release(*state, db, "gone", &n), ERR_OK);
	assert_int_equal(n, 0);
	FAKE_DB_ROW(STMT_RENEWAL_RELEASE, "42", "");
	FAKE_DB_ROW(STMT_RENEWAL_RELEASE, "43", "");
	assert_int_equal(store_renewal_release(*state, db, "gone", &n), ERR_OK);
	assert_int_equal(n, 2);
	unit_same("owner", fake_db_param(STMT_RENEWAL_RELEASE, 0, 1), "gone");
}

static void a_look_is_read_whole(void **state)
{
	struct store_look look;

	assert_int_equal(store_renewal_look(*state, db, 42, &look), ERR_CONNECTION_UNKNOWN);
	FAKE_DB_ROW(STMT_RENEWAL_LOOK, "5", "live", "rate_limited", "t", "20", "60", "rate", "t",
		"100", "provider_outage", "3");
	assert_int_equal(store_renewal_look(*state, db, 42, &look), ERR_OK);
	assert_int_equal(look.generation, 5);
	assert_string_equal(look.state, "live");
	assert_string_equal(look.cause, "rate_limited");
	assert_true(look.is_leased && look.is_renewable);
	assert_int_equal(look.lease_left_s, 20);
	assert_int_equal(look.next_in_s, 60);
	assert_string_equal(look.deferred_by, "rate");
	assert_int_equal(look.lives_s, 100);
	assert_string_equal(look.gate_cause, "provider_outage");
	assert_int_equal(look.failures, 3);
	fake_db_no_rows(STMT_RENEWAL_LOOK);
	FAKE_DB_ROW(STMT_RENEWAL_LOOK, NULL, "missing", "removed", NULL, NULL, NULL, NULL, "f",
		NULL, NULL, "0");
	assert_int_equal(store_renewal_look(*state, db, 42, &look), ERR_OK);
	assert_true(!look.is_leased && !look.is_renewable && !look.generation);
	assert_int_equal(look.lives_s, -1);
	assert_null(look.deferred_by);
	assert_null(look.gate_cause);
}

static void what_is_left_is_read_whole(void **state)
{
	struct store_left left;

	assert_int_equal(store_renewal_left(*state, db, 42, &left), ERR_CONNECTION_UNKNOWN);
	FAKE_DB_ROW(STMT_RENEWAL_LEFT, "7", "9", "8", "live", "none", "2", "1", "t", "f", "t",
		"acme", "zoho_crm", "eu", "21");
	assert_int_equal(store_renewal_left(*state, db, 42, &left), ERR_OK);
	assert_int_equal(left.fence, 7);
	assert_int_equal(left.last_generation, 9);
	assert_int_equal(left.generation, 8);
	assert_string_equal(left.state, "live");
	assert_string_equal(left.cause, "none");
	assert_int_equal(left.failures, 2);
	assert_int_equal(left.refusals, 1);
	assert_true(left.is_ambiguous && !left.grant_is_over && left.access_lives);
	assert_string_equal(left.client, "acme");
	assert_string_equal(left.provider, "zoho_crm");
	assert_string_equal(left.datacenter, "eu");
	assert_int_equal(left.app_id, 21);
}

static enum err keep_plan(struct work *w, const struct store_plan *plan, void *context)
{
	struct store_plan **next = context;

	(void)w;
	*(*next)++ = *plan;
	return plan->overdue_s == 666 ? ERR_IO : ERR_OK;
}

static void a_plan_is_handed_over_row_by_row(void **state)
{
	const struct store_renewal_filter filter = {NULL, "zoho_crm"};
	struct store_plan plans[3], *next = plans;

	FAKE_DB_ROW(STMT_RENEWAL_PLAN, "a", "zoho_crm", "renew", "due", "60", NULL, "none");
	FAKE_DB_ROW(STMT_RENEWAL_PLAN, "b", "zoho_crm", "wait", "quota", "666", "0", "none");
	FAKE_DB_ROW(STMT_RENEWAL_PLAN, "c", "zoho_crm", "renew", "due", "60", NULL, "none");
	assert_int_equal(store_renewal_plan(*state, db, &filter, 1, keep_plan, &next), ERR_IO);
	assert_ptr_equal(next, plans + 2);
	assert_string_equal(plans[0].client, "a");
	assert_string_equal(plans[0].what, "renew");
	assert_int_equal(plans[0].wait_s, -1);
	assert_int_equal(plans[0].overdue_s, 60);
	assert_string_equal(plans[1].why, "quota");
	assert_int_equal(plans[1].wait_s, 0);
	assert_string_equal(plans[1].cause, "none");
	unit_same("all", fake_db_param(STMT_RENEWAL_PLAN, 0, 1), "t");
	unit_same("client", fake_db_param(STMT_RENEWAL_PLAN, 0, 2), NULL);
	unit_same("provider", fake_db_param(STMT_RENEWAL_PLAN, 0, 3), "zoho_crm");
}

static void a_last_run_is_read_whole(void **state)
{
	struct store_last_run last;

	fake_db_role(STORE_OPERATOR);
	assert_int_equal(store_run_last(*state, db, &last), ERR_NOT_FOUND);
	FAKE_DB_ROW(STMT_RUN_LAST, "7", "host", "due", "2026-01-31T12:00:00.000Z",
		"2026-01-31T12:00:07.000Z", "2", "300");
	assert_int_equal(store_run_last(*state, db, &last), ERR_OK);
	assert_string_equal(last.host, "host");
	assert_string_equal(last.mode, "due");
	assert_string_equal(last.started_at, "2026-01-31T12:00:00.000Z");
	assert_string_equal(last.ended_at, "2026-01-31T12:00:07.000Z");
	assert_int_equal(last.exit_code, 2);
	assert_int_equal(last.age_s, 300);
	fake_db_no_rows(STMT_RUN_LAST);
	FAKE_DB_ROW(STMT_RUN_LAST, "7", "host", "due", "2026-01-31T12:00:00.000Z", NULL, NULL, "9");
	assert_int_equal(store_run_last(*state, db, &last), ERR_OK);
	assert_null(last.ended_at);
	assert_int_equal(last.exit_code, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(every_field_of_a_renewed_token_is_written),
		STORE_TEST(what_is_not_said_is_null),
		STORE_TEST(events_say_who_asked),
		STORE_TEST(answers_find_their_rows),
		STORE_TEST(the_largest_tokens_go_in_pieces),
		STORE_TEST(one_too_large_for_any_statement_is_refused),
		STORE_TEST(every_field_of_a_failure_is_written),
		STORE_TEST(a_failure_without_an_answer_does_not_count),
		STORE_TEST(every_field_of_a_deferral_is_written),
		STORE_TEST(a_claim_is_read_whole),
		STORE_TEST(a_claim_asks_for_what_it_means),
		STORE_TEST(mint_ages_are_read),
		STORE_TEST(never_more_than_there_is_room_for),
		STORE_TEST(a_batch_has_its_ceiling_and_may_be_empty),
		STORE_TEST(a_database_that_is_away_is_told),
		STORE_TEST(leases_that_were_released_are_counted),
		STORE_TEST(a_look_is_read_whole),
		STORE_TEST(what_is_left_is_read_whole),
		STORE_TEST(a_plan_is_handed_over_row_by_row),
		STORE_TEST(a_last_run_is_read_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
