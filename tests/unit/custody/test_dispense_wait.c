/* Waiting for somebody else's renewal: what is listened for, for how long, and who may. */
#include "../support/fake_renew.h"

#include "custody/wait.h"

#include <string.h>
#include <unistd.h>

#define TOKEN_OF(client, provider)                                                                 \
	"{\"clientId\" : \"" client "\", \"provider\" : \"" provider "\", \"generation\" : 8}"

static struct custody_awaited awaited = {
	.connection_id = 42, .generation = 7, .client = "acme", .provider = "zoho_crm"};

static enum err wait_for(struct service *s, enum custody_waited *waited)
{
	return custody_wait(&s->w, &s->c, &fake_renew_places, &awaited, waited);
}

static void leased(const char *left_s)
{
	fake_renew_look((struct fake_look){.lease_left_s = left_s});
}

static void renewed(void *context)
{
	(void)context;
	fake_renew_look((struct fake_look){.generation = "8"});
}

static void ended(void *context)
{
	(void)context;
	fake_renew_look((struct fake_look){.deferred_by = "backoff"});
}

/* Nobody listens, and no place is taken. */
static void what_is_over_is_not_waited_for(void **state)
{
	static const struct {
		struct fake_look look;
		enum custody_waited waited;
	} cases[] = {
		{{.generation = "8"}, CUSTODY_WAITED},
		{{.generation = "8", .lease_left_s = "50"}, CUSTODY_WAITED},
		{{.generation = "0"}, CUSTODY_WAITED}, /* removed */
		{{0}, CUSTODY_WAIT_FREE},
	};
	struct service *s = *state;
	enum custody_waited waited;

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		fake_renew_look(cases[i].look);
		assert_int_equal(wait_for(s, &waited), ERR_OK);
		assert_int_equal(waited, cases[i].waited);
		assert_int_equal(fake_db_count(STMT_RENEWAL_LOOK), i + 1);
		assert_int_equal(fake_db_waits(), 0);
	}
	unit_same("connection", fake_db_param(STMT_RENEWAL_LOOK, 0, 1), "42");
}

static void what_is_heard_is_looked_at(void **state)
{
	struct service *s = *state;
	enum custody_waited waited;

	leased("50");
	fake_db_on_wait(renewed, s);
	fake_db_notify("vestal_token", TOKEN_OF("acme", "zoho_crm"));
	assert_int_equal(wait_for(s, &waited), ERR_OK);
	assert_int_equal(waited, CUSTODY_WAITED);
	assert_int_equal(fake_db_waits(), 1);
}

static void the_end_of_a_renewal_without_a_token_is_heard(void **state)
{
	struct service *s = *state;
	enum custody_waited waited;

	leased("50");
	fake_db_on_wait(ended, s);
	fake_db_notify("vestal_renewal", "42");
	assert_int_equal(wait_for(s, &waited), ERR_OK);
	assert_int_equal(waited, CUSTODY_WAITED);
}

static void check_looks(void *context)
{
	assert_int_equal(fake_db_count(STMT_RENEWAL_LOOK), 2);
	renewed(context);
}

/* What ended between the first look and the listening is announced to nobody. */
static void it_looks_again_once_it_listens(void **state)
{
	struct service *s = *state;
	enum custody_waited waited;

	leased("50");
	fake_db_on_wait(check_looks, s);
	fake_db_notify("vestal_renewal", "42");
	assert_int_equal(wait_for(s, &waited), ERR_OK);
	assert_int_equal(fake_db_count(STMT_RENEWAL_LOOK), 3);
}

static void what_others_are_told_is_not_heard(void **state)
{
	static const char *const others[][2] = {
		{"vestal_token", TOKEN_OF("acme2", "zoho_crm")},
		{"vestal_token", TOKEN_OF("xacme", "zoho_crm")},
		{"vestal_token", TOKEN_OF("acme", "zoho_calendar")},
		{"vestal_renewal", "4"},
		{"vestal_renewal", "421"},
		{"vestal_renewal", "142"},
		{"vestal_renewal", ""},
	};
	struct service *s = *state;
	enum custody_waited waited;

	leased("50");
	for (size_t i = 0; i < UNIT_COUNT(others); i++)
		fake_db_notify(others[i][0], others[i][1]);
	assert_int_equal(wait_for(s, &waited), ERR_OK);
	assert_int_equal(waited, CUSTODY_WAIT_ENDED);
	/* all of them, then silence until the time is up */
	assert_int_equal(fake_db_waits(), UNIT_COUNT(others) + 2);
	assert_int_equal(fake_db_count(STMT_RENEWAL_LOOK), 4); /* two before, and after silence */
}

static void it_ends_with_the_lease(void **state)
{
	struct service *s = *state;
	enum custody_waited waited;
	int64_t before_ms = work_left_ms(&s->w);

	leased("5");
	fake_db_on_wait(ended, s);
	assert_int_equal(wait_for(s, &waited), ERR_OK);
	assert_int_equal(waited, CUSTODY_WAIT_FREE); /* nobody said anything */
	assert_int_equal(fake_db_waits(), 1);
	assert_in_range(before_ms - work_left_ms(&s->w), 6000, 6500);
}

static void a_second_is_left_for_what_follows(void **state)
{
	struct service *s = *state;
	enum custody_waited waited;

	leased("3600");
	assert_int_equal(wait_for(s, &waited), ERR_OK);
	assert_int_equal(waited, CUSTODY_WAIT_ENDED);
	assert_in_range(work_left_ms(&s->w), 500, 1000);
	assert_int_equal(wait_for(s, &waited), ERR_OK);
	assert_int_equal(waited, CUSTODY_WAIT_ENDED);
	assert_int_equal(fake_db_waits(), 1);
}

static void without_a_place_nobody_waits(void **state)
{
	static const char *const full[][4] = {{"wait.0"}, {"away.0", "away.1", "away.2"}};
	struct service *s = *state;
	enum custody_waited waited;

	leased("50");
	for (size_t i = 0; i < UNIT_COUNT(full); i++) {
		int fds[4] = {-1, -1, -1, -1};

		for (size_t j = 0; full[i][j]; j++)
			fds[j] = fake_renew_take(s, full[i][j]);
		assert_int_equal(wait_for(s, &waited), ERR_OK);
		assert_int_equal(waited, CUSTODY_WAIT_ENDED);
		assert_int_equal(fake_db_waits(), 0);
		for (size_t j = 0; full[i][j]; j++)
			close(fds[j]);
	}
}

static void check_places(void *context)
{
	struct service *s = context;

	assert_int_equal(fake_renew_take(s, "wait.0"), -1);
	assert_int_equal(fake_renew_take(s, "away.0"), -1);
	close(fake_renew_take(s, "away.1"));
	assert_true(fake_db_listens("vestal_token") && fake_db_listens("vestal_renewal"));
	renewed(s);
}

static void its_place_is_taken_meanwhile_and_given_back(void **state)
{
	struct service *s = *state;
	enum custody_waited waited;
	int fd;

	leased("50");
	fake_db_on_wait(check_places, s);
	fake_db_notify("vestal_token", TOKEN_OF("acme", "zoho_crm"));
	assert_int_equal(wait_for(s, &waited), ERR_OK);
	assert_int_equal(fake_db_waits(), 1);
	for (int i = 0; i < 2; i++) {
		fd = fake_renew_take(s, i ? "wait.0" : "away.0");
		assert_true(fd >= 0);
		close(fd);
	}
}

/* Whoever has nothing to answer with stays for the first second of a renewal, and no longer. */
static void a_young_renewal_is_waited_for_by_everybody_in_need(void **state)
{
	struct service *s = *state;
	enum custody_waited waited;

	fake_renew_age(fake_renew_take(s, "wait.0"));
	awaited.is_needed = 1;
	leased("59");
	fake_db_on_wait(renewed, s);
	fake_db_notify("vestal_token", TOKEN_OF("acme", "zoho_crm"));
	assert_int_equal(wait_for(s, &waited), ERR_OK);
	assert_int_equal(waited, CUSTODY_WAITED);
	assert_int_equal(fake_db_waits(), 1);
	leased("58");
	assert_int_equal(wait_for(s, &waited), ERR_OK);
	assert_int_equal(waited, CUSTODY_WAIT_ENDED);
	assert_int_equal(fake_db_waits(), 1);
	awaited.is_needed = 0;
	leased("59");
	assert_int_equal(wait_for(s, &waited), ERR_OK);
	assert_int_equal(waited, CUSTODY_WAIT_ENDED);
	assert_int_equal(fake_db_waits(), 1);
}

static void it_grows_old(void *context)
{
	(void)context;
	leased("58");
}

static void a_renewal_that_grows_old_is_left(void **state)
{
	struct service *s = *state;
	enum custody_waited waited;
	int64_t before_ms = work_left_ms(&s->w);

	fake_renew_age(fake_renew_take(s, "wait.0"));
	awaited.is_needed = 1;
	leased("59");
	fake_db_on_wait(it_grows_old, s);
	assert_int_equal(wait_for(s, &waited), ERR_OK);
	awaited.is_needed = 0;
	assert_int_equal(waited, CUSTODY_WAIT_ENDED);
	assert_in_range(before_ms - work_left_ms(&s->w), 200, 1000);
}

static void settled(struct service *s)
{
	(void)s;
	fake_renew_look((struct fake_look){0});
}

static void kept(struct service *s)
{
	renewed(s);
}

/* The lease outlives a process that was killed; here it is known to be gone. */
static void a_dead_holder_is_settled_at_once(void **state)
{
	struct service *s = *state;
	enum custody_waited waited;

	leased("50");
	fake_renew_recovery(ERR_OK, 1, settled);
	assert_int_equal(wait_for(s, &waited), ERR_OK);
	assert_int_equal(waited, CUSTODY_WAIT_FREE);
	leased("50");
	fake_renew_recovery(ERR_OK, 1, kept); /* its answer was in the spool */
	assert_int_equal(wait_for(s, &waited), ERR_OK);
	assert_int_equal(waited, CUSTODY_WAITED);
	assert_int_equal(fake_db_waits(), 0);
}

static void a_recovery_that_fails_keeps_nobody_from_waiting(void **state)
{
	struct service *s = *state;
	enum custody_waited waited;

	leased("50");
	fake_renew_recovery(ERR_IO, 0, NULL);
	fake_db_on_wait(renewed, s);
	fake_db_notify("vestal_token", TOKEN_OF("acme", "zoho_crm"));
	assert_int_equal(wait_for(s, &waited), ERR_OK);
	assert_int_equal(waited, CUSTODY_WAITED);
	unit_same("detail", s->w.detail, NULL);
}

static void a_failure_ends_the_listening_and_frees_the_place(void **state)
{
	struct service *s = *state;
	enum custody_waited waited;
	int fd;

	leased("50");
	fake_db_listening(ERR_DB_AWAY);
	assert_int_equal(wait_for(s, &waited), ERR_DB_AWAY);
	fd = fake_renew_take(s, "wait.0");
	assert_true(fd >= 0);
	close(fd);
	fake_db_listening(ERR_OK);
	fake_db_fail(STMT_RENEWAL_LOOK, ERR_DB_TIMEOUT);
	assert_int_equal(wait_for(s, &waited), ERR_DB_TIMEOUT);
	fake_db_fail(STMT_RENEWAL_LOOK, ERR_OK);
	fake_db_no_rows(STMT_RENEWAL_LOOK);
	assert_int_equal(wait_for(s, &waited), ERR_CONNECTION_UNKNOWN);
	assert_false(fake_db_listens("vestal_token"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAKE_RENEW_TEST(what_is_over_is_not_waited_for),
		FAKE_RENEW_TEST(what_is_heard_is_looked_at),
		FAKE_RENEW_TEST(the_end_of_a_renewal_without_a_token_is_heard),
		FAKE_RENEW_TEST(it_looks_again_once_it_listens),
		FAKE_RENEW_TEST(what_others_are_told_is_not_heard),
		FAKE_RENEW_TEST(it_ends_with_the_lease),
		FAKE_RENEW_TEST(a_second_is_left_for_what_follows),
		FAKE_RENEW_TEST(without_a_place_nobody_waits),
		FAKE_RENEW_TEST(its_place_is_taken_meanwhile_and_given_back),
		FAKE_RENEW_TEST(a_young_renewal_is_waited_for_by_everybody_in_need),
		FAKE_RENEW_TEST(a_renewal_that_grows_old_is_left),
		FAKE_RENEW_TEST(a_dead_holder_is_settled_at_once),
		FAKE_RENEW_TEST(a_recovery_that_fails_keeps_nobody_from_waiting),
		FAKE_RENEW_TEST(a_failure_ends_the_listening_and_frees_the_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
