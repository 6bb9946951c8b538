/* Renewals by report and by hand: which are asked for at all, and what is told of them. */
#include "../support/fake_renew.h"

#include "custody/order.h"

#include <string.h>

static void lay(const char *last_generation, const char *generation)
{
	FAKE_DB_ROW(STMT_CONNECTION_FIND, "42");
	fake_db_no_rows(STMT_RENEWAL_LEFT);
	FAKE_DB_ROW(STMT_RENEWAL_LEFT, "3", last_generation, generation, "live", "none", "0", "0",
		"f", "f", "t", "acme", "zoho_crm", "eu", "1");
}

static struct custody_order order_of(int64_t reported)
{
	return (struct custody_order){.client = "acme",
		.provider = "zoho_crm",
		.places = &fake_renew_places,
		.reported = reported};
}

static enum err rejected(struct service *s, struct custody_order *order)
{
	work_forgive(&s->w);
	fake_db_forget();
	return custody_order_rejected(&s->w, &s->c, order);
}

static enum err refresh(struct service *s, struct custody_order *order)
{
	work_forgive(&s->w);
	fake_db_forget();
	return custody_order_refresh(&s->w, &s->c, order);
}

static void status(const char *text)
{
	fake_db_no_rows(STMT_REPORT_ONE);
	FAKE_DB_ROW(STMT_REPORT_ONE, text, "none");
}

static void renewed(struct service *s)
{
	(void)s;
	fake_renew_look((struct fake_look){.generation = "8"});
	status("healthy");
}

static void who_is_not_there_is_told_apart(void **state)
{
	struct service *s = *state;
	struct custody_order order = order_of(7);

	assert_int_equal(rejected(s, &order), ERR_CLIENT_UNKNOWN);
	assert_int_equal(refresh(s, &order), ERR_CLIENT_UNKNOWN);
	FAKE_DB_ROW(STMT_CLIENT_GET, "acme", "Acme");
	assert_int_equal(rejected(s, &order), ERR_CONNECTION_UNKNOWN);
	assert_int_equal(refresh(s, &order), ERR_CONNECTION_UNKNOWN);
	assert_int_equal(fake_renew_count(), 0);
}

static void a_report_of_the_token_that_is_there_renews_it(void **state)
{
	struct service *s = *state;
	struct custody_order order = order_of(7);

	lay("7", "7");
	fake_renew_answer(ERR_OK, CUSTODY_RENEWED);
	fake_renew_on_call(renewed);
	assert_int_equal(rejected(s, &order), ERR_OK);
	assert_int_equal(order.generation, 8);
	assert_true(order.renewed);
	assert_int_equal(fake_renew_count(), 1);
	assert_int_equal(fake_renew_call(0)->why, CUSTODY_WHY_REJECTED);
	assert_int_equal(fake_renew_call(0)->generation, 7);
	assert_int_equal(fake_renew_call(0)->connection_id, 42);
	assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 1);
	unit_same("action", fake_db_param(STMT_AUDIT_ADD, 0, 8), "token.rejected");
	unit_same("outcome", fake_db_param(STMT_AUDIT_ADD, 0, 9), "ok");
}

static void a_report_that_comes_late_changes_nothing(void **state)
{
	struct service *s = *state;
	struct custody_order order = order_of(6);

	lay("7", "7");
	assert_int_equal(rejected(s, &order), ERR_OK);
	assert_int_equal(order.generation, 7);
	assert_false(order.renewed);
	assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 0);
	assert_int_equal(fake_renew_count(), 0);
}

static void a_token_there_never_was_is_bad_input(void **state)
{
	struct service *s = *state;
	struct custody_order order = order_of(8);

	lay("7", "7");
	assert_int_equal(rejected(s, &order), ERR_INPUT);
	assert_string_equal(s->w.faults[0].field, "generation");
	lay("7", NULL);
	assert_int_equal(rejected(s, &order), ERR_INPUT);
	assert_int_equal(fake_renew_count(), 0);
	assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 0);
}

static void without_a_token_it_is_a_person_s_turn(void **state)
{
	struct service *s = *state;
	struct custody_order order = order_of(7);

	lay("7", NULL);
	assert_int_equal(rejected(s, &order), ERR_REAUTHORIZATION_REQUIRED);
	status("missing");
	fake_renew_look((struct fake_look){.generation = "0"});
	assert_int_equal(refresh(s, &order), ERR_REAUTHORIZATION_REQUIRED);
	status("invalid");
	fake_renew_look((struct fake_look){.state = "invalid"});
	assert_int_equal(refresh(s, &order), ERR_REAUTHORIZATION_REQUIRED);
	status("healthy");
	fake_renew_look((struct fake_look){.is_stuck = 1});
	assert_int_equal(refresh(s, &order), ERR_REAUTHORIZATION_REQUIRED);
	assert_int_equal(fake_renew_count(), 0);
}

static void somebody_else_is_done(void *context)
{
	renewed(context);
	fake_db_notify("vestal_token", "{\"clientId\" : \"acme\", \"provider\" : \"zoho_crm\"}");
}

static void many_reports_lead_to_one_renewal(void **state)
{
	struct service *s = *state;
	struct custody_order order = order_of(7);

	lay("7", "7");
	fake_renew_look((struct fake_look){.lease_left_s = "40"});
	fake_db_on_wait(somebody_else_is_done, s);
	assert_int_equal(rejected(s, &order), ERR_OK);
	assert_int_equal(order.generation, 8);
	assert_true(order.renewed);
	assert_int_equal(fake_renew_count(), 0);
	assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 1);
}

static void who_finds_no_place_comes_back_soon(void **state)
{
	struct service *s = *state;
	struct custody_order order = order_of(7);

	lay("7", "7");
	fake_renew_age(fake_renew_take(s, "wait.0"));
	fake_renew_look((struct fake_look){.lease_left_s = "40"});
	assert_int_equal(rejected(s, &order), ERR_TOKEN_UNAVAILABLE);
	assert_int_equal(s->w.retry_after_s, 2);
	assert_int_equal(refresh(s, &order), ERR_RENEWAL_DEFERRED);
	assert_int_equal(s->w.retry_after_s, 2);
	assert_int_equal(fake_db_waits(), 0);
	assert_int_equal(fake_renew_count(), 0);
}

struct ending {
	enum custody_outcome outcome;
	const char *status;
	struct fake_look look;
	enum err rejected, refresh;
	unsigned retry_after_s;
};

static const struct ending endings[] = {
	{CUSTODY_DEFERRED, "healthy", {.deferred_by = "quota", .next_in_s = "77"},
		ERR_TOKEN_UNAVAILABLE, ERR_RENEWAL_DEFERRED, 77},
	{CUSTODY_DEFERRED, "healthy", {.deferred_by = "rate", .next_in_s = "500"},
		ERR_TOKEN_UNAVAILABLE, ERR_RENEWAL_DEFERRED, 500},
	{CUSTODY_DEFERRED, "unreachable", {.gate_cause = "provider_outage"}, ERR_TOKEN_UNAVAILABLE,
		ERR_RENEWAL_DEFERRED, 30},
	{CUSTODY_RETRY, "healthy", {.deferred_by = "backoff", .next_in_s = "28"},
		ERR_TOKEN_UNAVAILABLE, ERR_PROVIDER_UNAVAILABLE, 28},
	{CUSTODY_REFUSED, "healthy", {.deferred_by = "refusal", .next_in_s = "120"},
		ERR_TOKEN_UNAVAILABLE, ERR_RENEWAL_DEFERRED, 120},
	{CUSTODY_DEAD, "invalid", {.state = "invalid"}, ERR_REAUTHORIZATION_REQUIRED,
		ERR_REAUTHORIZATION_REQUIRED, 30},
	{CUSTODY_AMBIGUOUS, "quarantined", {.state = "quarantined"}, ERR_TOKEN_UNAVAILABLE,
		ERR_RENEWAL_DEFERRED, 30},
	{CUSTODY_APP, "expiring", {.gate_cause = "app_credentials"}, ERR_TOKEN_UNAVAILABLE,
		ERR_TOKEN_REFUSED, 30},
	{CUSTODY_UNREADABLE, "quarantined", {.state = "quarantined"}, ERR_SEALED, ERR_SEALED, 30},
	{CUSTODY_SUPERSEDED, "healthy", {.generation = "9"}, ERR_OK, ERR_OK, 0},
	{CUSTODY_NOT_NEEDED, "healthy", {.generation = "9"}, ERR_OK, ERR_OK, 0},
	{CUSTODY_SUPERSEDED, "missing", {.generation = "0"}, ERR_REAUTHORIZATION_REQUIRED,
		ERR_REAUTHORIZATION_REQUIRED, 30},
};

static const struct ending *ending;

static void end_so(struct service *s)
{
	(void)s;
	status(ending->status);
	fake_renew_look(ending->look);
}

static void every_end_has_its_answer(void **state)
{
	for (size_t i = 0; i < 2 * UNIT_COUNT(endings); i++) {
		struct custody_order order = order_of(7);
		struct service *s;
		enum err err;

		ending = &endings[i / 2];
		service_end(state);
		fake_renew_begin(state);
		s = *state;
		lay("7", "7");
		fake_renew_answer(ERR_OK, ending->outcome);
		fake_renew_on_call(end_so);
		err = i % 2 ? refresh(s, &order) : rejected(s, &order);
		if (err != (i % 2 ? ending->refresh : ending->rejected))
			fail_msg("ending %zu: %s", i, err_slug(err));
		assert_int_equal(fake_renew_count(), 1);
		if (err && s->w.retry_after_s != ending->retry_after_s)
			fail_msg("ending %zu: %u s", i, s->w.retry_after_s);
		if (err && err != ERR_SEALED)
			unit_lacks("detail", s->w.detail, "engine");
		if (!err)
			assert_int_equal(order.generation, 9);
		assert_int_equal(order.renewed, !err);
	}
}

static void a_renewal_by_hand_means_whatever_is_there(void **state)
{
	struct service *s = *state;
	struct custody_order order = order_of(0);

	lay("7", "7");
	fake_renew_answer(ERR_OK, CUSTODY_RENEWED);
	fake_renew_on_call(renewed);
	assert_int_equal(refresh(s, &order), ERR_OK);
	assert_int_equal(fake_renew_call(0)->why, CUSTODY_WHY_ADMIN);
	assert_int_equal(order.generation, 8);
	assert_true(order.renewed);
	unit_same("status", order.status, "healthy");
	assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 0); /* the engine's business */
}

static void what_could_not_be_tried_is_our_trouble(void **state)
{
	static const enum err errs[] = {ERR_IO, ERR_KEY_UNKNOWN, ERR_DB_AWAY};

	for (size_t i = 0; i < 2 * UNIT_COUNT(errs); i++) {
		struct custody_order order = order_of(7);
		struct service *s;

		service_end(state);
		fake_renew_begin(state);
		s = *state;
		lay("7", "7");
		fake_renew_answer(errs[i / 2], 0);
		assert_int_equal(i % 2 ? refresh(s, &order) : rejected(s, &order), errs[i / 2]);
		assert_int_equal(s->w.retry_after_s, 30);
	}
}

/* nginx sends these to the provider pool; a worker of another one has no engine. */
static void a_pool_that_renews_nothing_says_so(void **state)
{
	struct service *s = *state;
	struct custody_order order = order_of(7);

	lay("7", "7");
	order.places = NULL;
	assert_int_equal(rejected(s, &order), ERR_BUG);
	assert_int_equal(refresh(s, &order), ERR_BUG);
	order.places = &fake_renew_places;
	s->c.renewer = NULL;
	assert_int_equal(rejected(s, &order), ERR_BUG);
	assert_int_equal(fake_renew_count(), 0);
}

/* A report that is not on record leads to nothing. */
static void a_report_that_cannot_be_noted_renews_nothing(void **state)
{
	struct service *s = *state;
	struct custody_order order = order_of(7);

	lay("7", "7");
	fake_db_fail(STMT_AUDIT_ADD, ERR_DB_TIMEOUT);
	assert_int_equal(rejected(s, &order), ERR_DB_TIMEOUT);
	assert_int_equal(fake_renew_count(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAKE_RENEW_TEST(who_is_not_there_is_told_apart),
		FAKE_RENEW_TEST(a_report_of_the_token_that_is_there_renews_it),
		FAKE_RENEW_TEST(a_report_that_comes_late_changes_nothing),
		FAKE_RENEW_TEST(a_token_there_never_was_is_bad_input),
		FAKE_RENEW_TEST(without_a_token_it_is_a_person_s_turn),
		FAKE_RENEW_TEST(many_reports_lead_to_one_renewal),
		FAKE_RENEW_TEST(who_finds_no_place_comes_back_soon),
		FAKE_RENEW_TEST(every_end_has_its_answer),
		FAKE_RENEW_TEST(a_renewal_by_hand_means_whatever_is_there),
		FAKE_RENEW_TEST(what_could_not_be_tried_is_our_trouble),
		FAKE_RENEW_TEST(a_pool_that_renews_nothing_says_so),
		FAKE_RENEW_TEST(a_report_that_cannot_be_noted_renews_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
