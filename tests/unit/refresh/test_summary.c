/* The end of a run: which exit code, which words, which numbers. */
#include "../support/unit.h"

#include "refresh/summary.h"

#include <string.h>

static const struct refresh_result sample = {.id = 7,
	.mode = "due",
	.host = "host-a",
	.began_ms = 1769860800000,
	.ended_ms = 1769860812345,
	.due = 9,
	.counts = {[CUSTODY_RENEWED] = 5, [CUSTODY_DEFERRED] = 1, [CUSTODY_DEAD] = 3},
	.distributed = 6,
	.behind = 2,
	.recovered = {.spools = 1, .stored = 4, .released = 3},
	.revoked = {.accepted = 1, .gone = 1},
	.need = {.total = 3, .reauthorize = 2, .fix_app = 1},
	.is_need_known = 1};

static void the_exit_code_tells_fault_from_need(void **state)
{
	static const struct {
		enum err err;
		int64_t total;
		int code;
	} cases[] = {
		{ERR_OK, 0, 0}, {ERR_OK, 1, 2}, {ERR_DB_AWAY, 0, 1}, {ERR_DB_AWAY, 5, 1},
		{ERR_IO, 0, 1}, {ERR_CONFIG, 0, 1}, {ERR_KEY_UNKNOWN, 0, 1}, {ERR_USAGE, 0, 64},
		{ERR_INPUT, 0, 1},                    /* of a run, never of its command line */
		{ERR_REAUTHORIZATION_REQUIRED, 0, 1}, /* 2 is what the count says, nothing else */
	};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		const struct store_need need = {.total = cases[i].total};

		assert_int_equal(refresh_summary_exit_code(cases[i].err, &need), cases[i].code);
	}
}

/* What waits for a known while is no failure; what was asked in vain, or can go no further, is. */
static void failures_are_what_was_asked_in_vain(void **state)
{
	static const int failures[CUSTODY_OUTCOME_COUNT] = {[CUSTODY_RETRY] = 1,
		[CUSTODY_REFUSED] = 1,
		[CUSTODY_DEAD] = 1,
		[CUSTODY_AMBIGUOUS] = 1,
		[CUSTODY_APP] = 1,
		[CUSTODY_UNREADABLE] = 1};

	(void)state;
	for (int i = 0; i < CUSTODY_OUTCOME_COUNT; i++)
		assert_int_equal(refresh_summary_is_failure((enum custody_outcome)i), failures[i]);
}

static const char *table_of(struct work *w, const struct refresh_result *result)
{
	static struct ctl_out out;

	ctl_out_begin(&out, w, 0);
	out.has_colour = 0;
	refresh_summary_table(&out, result);
	return out.text.data;
}

static void the_table_tells_it_all(void **state)
{
	const char *table = table_of(*state, &sample);

	unit_holds("head", table, "OUTCOME         CONNECTIONS  MEANING\n");
	unit_holds("renewed", table, "\nrenewed         5            a new token is stored\n");
	unit_holds("none", table, "\nretry           0            asked in vain");
	unit_holds("dead", table, "\ndead            3            the grant is gone");
	unit_lacks("an outcome of other callers", table, "not_needed");
	unit_holds("stores", table, "\nstores behind   2  ");
	unit_holds("recovered", table, "\nrecovered       4  ");
	unit_holds("revoked", table, "\nrevoked         2  ");
	unit_lacks("nothing unconfirmed", table, "not confirmed");
	unit_lacks("nothing lost", table, "answers lost");
	unit_lacks("nothing left", table, "left in spool");
	unit_holds("person", table,
		"\nneeds a person  3            2 to authorize again, 1 with a bad app, 0 to look "
		"into; see vestalctl health\n");
	unit_holds("end", table, "\ndue run 7, 12.3 s\n");
}

static void the_table_tells_what_is_unusual(void **state)
{
	struct refresh_result result = sample;
	const char *table;

	result.recovered.ambiguous = 1;
	result.recovered.left = 2;
	result.revoked.unconfirmed = 3;
	result.revoked.pending = 4;
	result.counts[CUSTODY_NOT_NEEDED] = 1;
	result.need = (struct store_need){0};
	result.is_cut_short = 1;
	table = table_of(*state, &result);
	unit_holds("lost", table, "\nanswers lost    1  ");
	unit_holds("left", table, "\nleft in spool   2  ");
	unit_holds("not confirmed", table, "\nnot confirmed   3  ");
	unit_holds("to be revoked", table, "\nto be revoked   4  ");
	unit_holds("not needed", table, "\nnot_needed      1  ");
	unit_holds("nobody", table, "\nneeds a person  0            nothing is wrong");
	unit_holds(
		"cut", table, "\ndue run 7, 12.3 s; cut short: the rest is left to the next run\n");
	result.is_need_known = 0;
	unit_lacks("not counted", table_of(*state, &result), "needs a person");
}

static const char *json_of(struct work *w, const struct refresh_result *result)
{
	static struct buf text;
	struct jout j;

	buf_init(&text, w, 8192);
	jout_init(&j, &text);
	jout_object(&j, NULL);
	refresh_summary_json(&j, result);
	jout_end_object(&j);
	return text.data;
}

static void the_document_tells_it_all(void **state)
{
	unit_same("json", json_of(*state, &sample),
		"{\"runId\":7,\"mode\":\"due\",\"dryRun\":false,\"host\":\"host-a\","
		"\"startedAt\":\"2026-01-31T12:00:00.000Z\",\"endedAt\":\"2026-01-31T12:00:12."
		"345Z\","
		"\"exitCode\":2,\"error\":null,\"due\":9,\"counts\":{\"renewed\":5,\"deferred\":1,"
		"\"retry\":0,\"refused\":0,\"dead\":3,\"ambiguous\":0,\"app\":0,\"unreadable\":0,"
		"\"superseded\":0,\"busy\":0,\"not_needed\":0},\"needPerson\":{\"total\":3,"
		"\"reauthorize\":2,\"fixApp\":1,\"investigate\":0},\"recovered\":{\"spools\":1,"
		"\"stored\":4,\"ambiguous\":0,\"released\":3,\"left\":0},\"revocations\":{"
		"\"accepted\":1,\"gone\":1,\"unconfirmed\":0,\"pending\":0},"
		"\"renewalMs\":0,\"stores\":{"
		"\"distributed\":6,"
		"\"behind\":2},\"cutShort\":false}");
}

static void the_document_of_a_failed_run_says_what_is_not_known(void **state)
{
	struct refresh_result result = sample;
	const char *json;

	result.err = ERR_DB_AWAY;
	result.is_need_known = 0;
	result.need = (struct store_need){0};
	result.due = -1;
	result.is_cut_short = 1;
	json = json_of(*state, &result);
	unit_holds("code", json, "\"exitCode\":1,\"error\":\"database_unavailable\"");
	unit_holds("due", json, "\"due\":null");
	unit_holds("need", json, "\"needPerson\":null");
	unit_holds("cut", json, "\"cutShort\":true");
}

static void the_row_keeps_the_counts(void **state)
{
	unit_same("counts", refresh_summary_counts(*state, &sample),
		"{\"due\":9,\"renewed\":5,\"deferred\":1,\"retry\":0,\"refused\":0,\"dead\":3,"
		"\"ambiguous\":0,\"app\":0,\"unreadable\":0,\"superseded\":0,\"busy\":0,"
		"\"not_needed\":0,\"needPerson\":{\"total\":3,\"reauthorize\":2,\"fixApp\":1,"
		"\"investigate\":0},\"recovered\":{\"spools\":1,\"stored\":4,\"ambiguous\":0,"
		"\"released\":3,\"left\":0},\"revocations\":{\"accepted\":1,\"gone\":1,"
		"\"unconfirmed\":0,\"pending\":0},\"renewalMs\":0,\"stores\":{\"distributed\":6,"
		"\"behind\":2},"
		"\"cutShort\":false}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST(the_exit_code_tells_fault_from_need),
		UNIT_TEST(failures_are_what_was_asked_in_vain),
		UNIT_TEST(the_table_tells_it_all),
		UNIT_TEST(the_table_tells_what_is_unusual),
		UNIT_TEST(the_document_tells_it_all),
		UNIT_TEST(the_document_of_a_failed_run_says_what_is_not_known),
		UNIT_TEST(the_row_keeps_the_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
