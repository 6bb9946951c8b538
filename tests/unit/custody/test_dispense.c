/* The token read around a renewal: who renews, what is served afterwards, and what is said when
 * nothing is. */
#include "../support/fake_renew.h"

#include "custody/dispense.h"

#include <string.h>

#define TOKEN "1000.access-7f21"

/* What the statement answers from now on. */
static void lay(
	const char *generation, const char *access, const char *left_s, int served, int needed)
{
	fake_db_no_rows(STMT_TOKEN_READ);
	FAKE_DB_ROW(STMT_TOKEN_READ, "42", generation, access, "Bearer", "2026-01-31T12:00:00.000Z",
		left_s, NULL, "eu", served && generation[0] == '7' ? "t" : "f", served ? "t" : "f",
		needed ? "t" : "f");
}

static void lay_needed(void)
{
	lay("7", NULL, "30", 0, 1);
}

static void lay_old(struct service *s)
{
	lay("7", service_sealed(s, "access", 7, TOKEN), "30", 1, 0);
}

static void lay_new(struct service *s)
{
	lay("8", service_sealed(s, "access", 8, TOKEN), "3600", 1, 0);
}

static void lay_nothing(struct service *s)
{
	(void)s;
	lay("7", NULL, "0", 0, 0);
}

static struct custody_dispense asked_of(struct service *s, const struct custody_places *places)
{
	static struct custody_caller caller;

	caller = (struct custody_caller){.role = CUSTODY_SERVICE};
	return (struct custody_dispense){.caller = &caller,
		.client = "acme",
		.provider = oauth_provider_find(s->c.providers, "zoho_crm"),
		.known = "{}",
		.min_ttl_s = -1,
		.places = places};
}

static enum err dispense(struct service *s, struct custody_dispense *asked)
{
	work_forgive(&s->w);
	fake_db_forget();
	return custody_dispense(&s->w, &s->c, asked);
}

static void the_fast_pool_leaves_a_renewal_to_the_other(void **state)
{
	struct service *s = *state;
	struct custody_dispense asked = asked_of(s, NULL);

	lay_needed();
	assert_int_equal(dispense(s, &asked), ERR_RENEWAL_NEEDED);
	unit_same("first", fake_db_param(STMT_TOKEN_READ, 0, 13), "t");
	assert_int_equal(fake_db_total(), 1); /* and so no event */
	assert_int_equal(fake_renew_count(), 0);
	assert_null(asked.access);
}

/* The other pool could not do it: nobody is sent there again. */
static void a_token_as_it_is_is_not_renewed(void **state)
{
	struct service *s = *state;

	for (int i = 0; i < 2; i++) {
		struct custody_dispense asked = asked_of(s, i ? &fake_renew_places : NULL);

		asked.as_it_is = 1;
		lay_old(s);
		assert_int_equal(dispense(s, &asked), ERR_OK);
		assert_int_equal(fake_db_count(STMT_TOKEN_READ), 1);
		unit_same("first", fake_db_param(STMT_TOKEN_READ, 0, 13), "f");
		assert_true(asked.served.degraded);
		assert_non_null(asked.access);
	}
}

static void what_needs_no_renewal_is_read_once(void **state)
{
	struct service *s = *state;
	struct custody_dispense asked = asked_of(s, &fake_renew_places);

	lay_new(s);
	assert_int_equal(dispense(s, &asked), ERR_OK);
	assert_int_equal(fake_db_total(), 1);
	assert_non_null(asked.access);
}

static void in_its_place(struct service *s)
{
	assert_int_equal(fake_renew_take(s, "renew.zoho_crm.0"), -1);
	assert_int_equal(fake_renew_take(s, "away.0"), -1);
	lay_new(s);
}

static void it_is_renewed_in_a_place_and_read_again(void **state)
{
	struct service *s = *state;
	struct custody_dispense asked = asked_of(s, &fake_renew_places);

	lay_needed();
	fake_renew_answer(ERR_OK, CUSTODY_RENEWED);
	fake_renew_on_call(in_its_place);
	assert_int_equal(dispense(s, &asked), ERR_OK);
	assert_true(fake_renew_take(s, "renew.zoho_crm.0") >= 0);
	assert_true(fake_renew_take(s, "away.0") >= 0);
	assert_int_equal(fake_renew_count(), 1);
	assert_int_equal(fake_renew_call(0)->connection_id, 42);
	assert_int_equal(fake_renew_call(0)->generation, 7);
	assert_int_equal(fake_renew_call(0)->why, CUSTODY_WHY_READ);
	assert_int_equal(fake_db_count(STMT_TOKEN_READ), 2);
	unit_same("first", fake_db_param(STMT_TOKEN_READ, 0, 13), "t");
	unit_same("last", fake_db_param(STMT_TOKEN_READ, 1, 13), "f");
	assert_int_equal(asked.served.generation, 8);
	assert_false(asked.served.degraded);
	unit_same("token", secret_reveal(asked.access), TOKEN);
	unit_same("api", asked.api_domain, "https://www.zohoapis.eu");
	assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 0);
}

/* A trouble of ours or the provider's never withholds what still lives. */
static void a_living_token_is_served_whatever_comes_of_it(void **state)
{
	static const struct {
		enum err err;
		enum custody_outcome outcome;
	} ends[] = {
		{ERR_OK, CUSTODY_DEFERRED},
		{ERR_OK, CUSTODY_RETRY},
		{ERR_OK, CUSTODY_REFUSED},
		{ERR_OK, CUSTODY_DEAD},
		{ERR_OK, CUSTODY_AMBIGUOUS},
		{ERR_OK, CUSTODY_APP},
		{ERR_OK, CUSTODY_UNREADABLE},
		{ERR_OK, CUSTODY_SUPERSEDED},
		{ERR_OK, CUSTODY_NOT_NEEDED},
		{ERR_IO, 0},
		{ERR_KEY_UNKNOWN, 0},
		{ERR_DB_AWAY, 0},
		{ERR_CONFIG, 0},
		{ERR_BUG, 0},
	};

	for (size_t i = 0; i < UNIT_COUNT(ends); i++) {
		struct custody_dispense asked;
		struct service *s;

		if (i) {
			service_end(state);
			fake_renew_begin(state);
		}
		s = *state;
		asked = asked_of(s, &fake_renew_places);
		lay_needed();
		fake_renew_answer(ends[i].err, ends[i].outcome);
		fake_renew_on_call(lay_old);
		assert_int_equal(dispense(s, &asked), ERR_OK);
		assert_int_equal(fake_renew_count(), 1);
		assert_true(asked.served.degraded);
		unit_same("token", secret_reveal(asked.access), TOKEN);
		unit_same("detail", s->w.detail, NULL);
		unit_same("cause", s->w.cause, NULL);
	}
}

static void the_connection_lost(struct service *s)
{
	(void)s;
	fake_db_ready(ERR_DB_AWAY);
}

static void a_database_that_went_away_meanwhile_is_the_answer(void **state)
{
	struct service *s = *state;
	struct custody_dispense asked = asked_of(s, &fake_renew_places);

	lay_needed();
	fake_renew_answer(ERR_DB_AWAY, 0);
	fake_renew_on_call(the_connection_lost);
	assert_int_equal(dispense(s, &asked), ERR_DB_AWAY);
	assert_int_equal(fake_db_count(STMT_TOKEN_READ), 1);
	assert_null(asked.access);
}

static void somebody_else_was_faster(void *context)
{
	fake_renew_look((struct fake_look){.generation = "8"});
	lay_new(context);
	fake_db_notify("vestal_token",
		"{\"clientId\" : \"acme\", \"provider\" : \"zoho_crm\", \"generation\" : 8}");
}

static void while_somebody_else_renews_it_is_waited_for(void **state)
{
	struct service *s = *state;
	struct custody_dispense asked = asked_of(s, &fake_renew_places);

	lay_needed();
	fake_renew_look((struct fake_look){.lease_left_s = "40"});
	fake_db_on_wait(somebody_else_was_faster, s);
	assert_int_equal(dispense(s, &asked), ERR_OK);
	assert_int_equal(asked.served.generation, 8);
	assert_int_equal(fake_renew_count(), 0);
	assert_int_equal(fake_db_waits(), 1);
}

/* The lease is lost in the moment between the look and the claim. */
static void the_lease_is_somebody_s(struct service *s)
{
	(void)s;
	fake_renew_look((struct fake_look){.lease_left_s = "59"});
}

static void a_lost_race_for_the_lease_is_waited_for(void **state)
{
	struct service *s = *state;
	struct custody_dispense asked = asked_of(s, &fake_renew_places);

	lay_needed();
	fake_renew_answer(ERR_OK, CUSTODY_BUSY);
	fake_renew_on_call(the_lease_is_somebody_s);
	fake_db_on_wait(somebody_else_was_faster, s);
	assert_int_equal(dispense(s, &asked), ERR_OK);
	assert_int_equal(asked.served.generation, 8);
	assert_int_equal(fake_renew_count(), 1);
	assert_int_equal(fake_db_waits(), 1);
}

/* A wait that hears nothing takes the lease's time; whoever held it is gone then. */
static void it_fell_silent(void *context)
{
	(void)context;
	fake_renew_look((struct fake_look){0});
}

static void a_holder_that_died_is_followed_once(void **state)
{
	struct service *s = *state;
	struct custody_dispense asked = asked_of(s, &fake_renew_places);

	s->w.deadline_ms += 60000;
	lay_needed();
	fake_renew_look((struct fake_look){.lease_left_s = "5"});
	fake_db_on_wait(it_fell_silent, s);
	fake_renew_answer(ERR_OK, CUSTODY_RENEWED);
	fake_renew_on_call(lay_new);
	assert_int_equal(dispense(s, &asked), ERR_OK);
	assert_int_equal(fake_renew_count(), 1);
	assert_int_equal(asked.served.generation, 8);
}

static void nobody_tries_for_ever(void **state)
{
	struct service *s = *state;
	struct custody_dispense asked = asked_of(s, &fake_renew_places);

	s->w.deadline_ms += 600000;
	lay_needed();
	fake_renew_answer(ERR_OK, CUSTODY_BUSY); /* and yet nobody has it, whenever one looks */
	fake_renew_on_call(lay_old);
	assert_int_equal(dispense(s, &asked), ERR_OK);
	assert_int_equal(fake_renew_count(), 2);
	assert_true(asked.served.degraded);
}

/* Two workers at the provider are enough; the third does not even ask. */
static void without_a_place_the_living_token_is_served_at_once(void **state)
{
	struct service *s = *state;
	struct custody_dispense asked = asked_of(s, &fake_renew_places);

	for (int i = 0; i < 2; i++)
		fake_renew_age(fake_renew_take(s, i ? "renew.zoho_crm.1" : "renew.zoho_crm.0"));
	lay("7", service_sealed(s, "access", 7, TOKEN), "30", 1, 1);
	assert_int_equal(dispense(s, &asked), ERR_OK);
	assert_int_equal(fake_renew_count(), 0);
	assert_int_equal(fake_db_waits(), 0);
	assert_int_equal(fake_db_count(STMT_RENEWAL_LOOK), 1);
	assert_int_equal(fake_db_count(STMT_TOKEN_READ), 2);
	unit_same("last", fake_db_param(STMT_TOKEN_READ, 1, 13), "f");
}

static void nothing_served_says_when_to_come_back(void **state)
{
	static const struct {
		const char *status;
		struct fake_look look;
		enum custody_outcome outcome;
		enum err err;
		unsigned retry_after_s;
	} cases[] = {
		{"missing", {0}, CUSTODY_DEAD, ERR_REAUTHORIZATION_REQUIRED, 0},
		{"invalid", {.state = "invalid"}, CUSTODY_DEAD, ERR_REAUTHORIZATION_REQUIRED, 0},
		/* nothing here will ever renew it */
		{"expired", {.is_stuck = 1}, CUSTODY_DEFERRED, ERR_REAUTHORIZATION_REQUIRED, 0},
		{"healthy", {.is_stuck = 1}, CUSTODY_DEFERRED, ERR_REAUTHORIZATION_REQUIRED, 0},
		/* the next run tries it once */
		{"quarantined", {.state = "quarantined"}, CUSTODY_AMBIGUOUS, ERR_TOKEN_UNAVAILABLE,
			30},
		{"quarantined", {.state = "quarantined", .is_stuck = 1}, CUSTODY_UNREADABLE,
			ERR_TOKEN_UNAVAILABLE, 30},
		{"expired", {0}, CUSTODY_DEFERRED, ERR_TOKEN_UNAVAILABLE, 30},
		{"expired", {.lease_left_s = "40"}, CUSTODY_RETRY, ERR_TOKEN_UNAVAILABLE, 2},
		{"expired", {.deferred_by = "quota", .next_in_s = "77"}, CUSTODY_DEFERRED,
			ERR_TOKEN_UNAVAILABLE, 77},
		{"expired", {.deferred_by = "rate", .next_in_s = "3600"}, CUSTODY_RETRY,
			ERR_TOKEN_UNAVAILABLE, 600},
		{"expired", {.deferred_by = "refusal", .next_in_s = "120"}, CUSTODY_REFUSED,
			ERR_TOKEN_UNAVAILABLE, 120},
		/* a reader may have it tried again before the schedule does */
		{"unreachable", {.deferred_by = "backoff", .next_in_s = "900"}, CUSTODY_RETRY,
			ERR_TOKEN_UNAVAILABLE, 30},
		{"unreachable", {.deferred_by = "backoff", .next_in_s = "7"}, CUSTODY_RETRY,
			ERR_TOKEN_UNAVAILABLE, 7},
		{"unreachable", {.deferred_by = "gate", .next_in_s = "0"}, CUSTODY_DEFERRED,
			ERR_TOKEN_UNAVAILABLE, 30},
		{"unreachable", {.gate_cause = "provider_outage"}, CUSTODY_DEFERRED,
			ERR_TOKEN_UNAVAILABLE, 30},
	};

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		struct custody_dispense asked;
		struct service *s;

		service_end(state);
		fake_renew_begin(state);
		s = *state;
		asked = asked_of(s, &fake_renew_places);
		lay_nothing(s);
		fake_db_no_rows(STMT_REPORT_ONE);
		FAKE_DB_ROW(STMT_REPORT_ONE, cases[i].status, "none");
		fake_renew_look(cases[i].look);
		assert_int_equal(dispense(s, &asked), cases[i].err);
		if (s->w.retry_after_s != cases[i].retry_after_s)
			fail_msg("case %zu: %u", i, s->w.retry_after_s);
		assert_non_null(s->w.detail);
		unit_lacks("detail", s->w.detail, "engine");
		assert_int_equal(fake_db_count(STMT_AUDIT_ADD), 1);
		unit_same("action", fake_db_param(STMT_AUDIT_ADD, 0, 8), "token.read");
		unit_same("outcome", fake_db_param(STMT_AUDIT_ADD, 0, 9), "denied");
		assert_null(asked.access);
	}
}

static void want_of_a_place_is_soon_over(void **state)
{
	struct service *s = *state;
	struct custody_dispense asked = asked_of(s, &fake_renew_places);

	for (int i = 0; i < 2; i++)
		fake_renew_age(fake_renew_take(s, i ? "renew.zoho_crm.1" : "renew.zoho_crm.0"));
	lay("7", NULL, "0", 0, 1);
	assert_int_equal(dispense(s, &asked), ERR_TOKEN_UNAVAILABLE);
	assert_int_equal(s->w.retry_after_s, 2);
}

/* What a caller wants so long a life for is not served short, but waited for. */
static void a_token_that_must_live_is_waited_for_without_a_place(void **state)
{
	struct service *s = *state;

	for (int strict = 0; strict < 2; strict++) {
		struct custody_dispense asked = asked_of(s, &fake_renew_places);

		asked.min_ttl_s = strict ? 60 : -1;
		if (!strict)
			fake_renew_age(fake_renew_take(s, "wait.0"));
		fake_renew_look((struct fake_look){.lease_left_s = "59"});
		fake_db_on_wait(somebody_else_was_faster, s);
		lay("7", service_sealed(s, "access", 7, TOKEN), "30", 1, 1);
		assert_int_equal(dispense(s, &asked), ERR_OK);
		assert_int_equal(fake_db_waits(), strict);
		assert_int_equal(asked.served.generation, strict ? 8 : 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAKE_RENEW_TEST(the_fast_pool_leaves_a_renewal_to_the_other),
		FAKE_RENEW_TEST(a_token_as_it_is_is_not_renewed),
		FAKE_RENEW_TEST(what_needs_no_renewal_is_read_once),
		FAKE_RENEW_TEST(it_is_renewed_in_a_place_and_read_again),
		FAKE_RENEW_TEST(a_living_token_is_served_whatever_comes_of_it),
		FAKE_RENEW_TEST(a_database_that_went_away_meanwhile_is_the_answer),
		FAKE_RENEW_TEST(while_somebody_else_renews_it_is_waited_for),
		FAKE_RENEW_TEST(a_lost_race_for_the_lease_is_waited_for),
		FAKE_RENEW_TEST(a_holder_that_died_is_followed_once),
		FAKE_RENEW_TEST(nobody_tries_for_ever),
		FAKE_RENEW_TEST(without_a_place_the_living_token_is_served_at_once),
		FAKE_RENEW_TEST(nothing_served_says_when_to_come_back),
		FAKE_RENEW_TEST(want_of_a_place_is_soon_over),
		FAKE_RENEW_TEST(a_token_that_must_live_is_waited_for_without_a_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
