/* The spool's slots: what was written comes back, whatever else happens, and to the next one as
 * well. */
#include "spool_support.h"

#include <string.h>

static void a_renewal_goes_its_way(void **state)
{
	struct vault_spool *spool = spool_make(2);
	size_t slot;

	(void)state;
	assert_int_equal(vault_spool_free(spool), 2);
	assert_int_equal(spool_seen(spool).n, 0);
	slot = spool_reserve(spool, 5);
	assert_int_equal(vault_spool_free(spool), 1);
	spool_sync(spool);
	spool_assert_one(spool, 5, 5, 0);
	assert_int_equal(spool_seen(spool).entries[0].slot, slot);
	assert_int_equal(spool_seen(spool).entries[0].answer_err, ERR_NOT_FOUND);
	spool_answer(spool, slot, 5);
	spool_sync(spool);
	spool_assert_one(spool, 5, 5, 5);
	vault_spool_clear(spool, slot);
	assert_int_equal(spool_seen(spool).n, 0);
	assert_int_equal(vault_spool_free(spool), 2);
	vault_spool_close(spool);
	assert_int_equal(spool_names(), 0);
}

static void what_is_left_is_had_by_the_next_one(void **state)
{
	char name[VAULT_SPOOL_NAME_MAX_BYTES];
	struct vault_spool *spool;
	struct spool_seen seen;

	(void)state;
	spool_abandon(name, 3);
	spool = spool_take();
	assert_non_null(spool);
	assert_string_equal(vault_spool_name(spool), name);
	seen = spool_seen(spool);
	assert_int_equal(seen.n, 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(seen.entries[i].slot, i);
		assert_int_equal(seen.entries[i].key, i + 1);
		assert_int_equal(seen.entries[i].intent, i + 1);
		assert_int_equal(seen.entries[i].answer, i + 1);
		assert_int_equal(spool_names(), 1);
		vault_spool_clear(spool, (size_t)i);
	}
	vault_spool_close(spool);
	assert_int_equal(spool_names(), 0);
	assert_null(spool_take());
}

static void what_was_taken_over_is_answered_and_cleared_but_not_filled(void **state)
{
	struct vault_spool_key key = spool_key(9);
	struct vault_spool *spool = spool_make(2);
	size_t slot;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	spool_reserve(spool, 1);
	spool_reserve(spool, 2);
	vault_spool_close(spool);
	spool = spool_take();
	spool_answer(spool, 1, 2);
	spool_sync(spool);
	vault_spool_clear(spool, 0);
	spool_assert_one(spool, 2, 2, 2);
	assert_int_equal(vault_spool_free(spool), 0);
	assert_int_equal(
		vault_spool_reserve(&w, spool, &key, support_secret(&w, "x"), &slot), ERR_CONFLICT);
	vault_spool_close(spool);
	spool = spool_take();
	spool_assert_one(spool, 2, 2, 2);
	vault_spool_close(spool);
	work_end(&w);
}

static void slots_are_given_once(void **state)
{
	enum { SLOTS = 16 };
	struct vault_spool *spool = spool_make(SLOTS);
	struct vault_spool_key key = spool_key(99);
	int given[SLOTS] = {0};
	size_t slot;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	for (int i = 0; i < SLOTS; i++) {
		slot = spool_reserve(spool, i + 1);
		assert_true(slot < SLOTS);
		assert_int_equal(given[slot]++, 0);
	}
	assert_int_equal(
		vault_spool_reserve(&w, spool, &key, support_secret(&w, "x"), &slot), ERR_CONFLICT);
	vault_spool_clear(spool, 7);
	vault_spool_clear(spool, 7);
	vault_spool_clear(spool, SLOTS);
	assert_int_equal(vault_spool_free(spool), 1);
	assert_int_equal(spool_seen(spool).n, SLOTS - 1);
	assert_int_equal(spool_reserve(spool, 50), 7);
	assert_int_equal(spool_seen(spool).entries[7].intent, 50);
	assert_int_equal(vault_spool_free(spool), 0);
	vault_spool_close(spool);
	work_end(&w);
}

static enum err answer_with(struct vault_spool *spool, size_t slot, struct vault_spool_key key)
{
	struct work w;
	enum err err;

	work_begin(&w, SUPPORT_BUDGET_MS);
	err = vault_spool_answer(&w, spool, slot, &key, support_secret(&w, "x"));
	work_end(&w);
	return err;
}

static void only_the_intent_of_a_slot_is_answered(void **state)
{
	struct vault_spool *spool = spool_make(2);
	struct vault_spool_key key = spool_key(5);
	size_t slot = spool_reserve(spool, 5);

	(void)state;
	assert_int_equal(answer_with(spool, slot, key), ERR_OK);
	key.fence++;
	assert_int_equal(answer_with(spool, slot, key), ERR_BUG);
	key = spool_key(5);
	key.generation++;
	assert_int_equal(answer_with(spool, slot, key), ERR_BUG);
	assert_int_equal(answer_with(spool, slot, spool_key(6)), ERR_BUG);
	assert_int_equal(answer_with(spool, 1 - slot, spool_key(5)), ERR_BUG);
	assert_int_equal(answer_with(spool, 1 - slot, (struct vault_spool_key){0, 0, 0}), ERR_BUG);
	assert_int_equal(answer_with(spool, 2, spool_key(5)), ERR_BUG);
	vault_spool_clear(spool, slot);
	assert_int_equal(answer_with(spool, slot, spool_key(5)), ERR_BUG);
	vault_spool_close(spool);
}

struct lengths {
	size_t intent, answer;
};

static enum err measure(struct work *w, const struct vault_spool_entry *entry, void *context)
{
	struct lengths *lengths = context;

	(void)w;
	lengths->intent = secret_len(entry->intent);
	lengths->answer = secret_len(entry->answer);
	return entry->intent && entry->answer ? ERR_OK : ERR_BUG;
}

static void assert_fits(size_t intent_bytes, size_t answer_bytes)
{
	struct vault_spool_key key = {INT64_MAX, INT64_MIN, -1};
	struct vault_spool *spool = spool_make(2);
	struct lengths lengths;
	size_t slot;
	struct work w;

	work_begin(&w, SUPPORT_BUDGET_MS);
	/* the neighbour must not notice */
	spool_reserve(spool, 1);
	assert_int_equal(
		vault_spool_reserve(&w, spool, &key, secret_new(&w, NULL, intent_bytes), &slot),
		ERR_OK);
	assert_int_equal(
		vault_spool_answer(&w, spool, slot, &key, secret_new(&w, NULL, answer_bytes)),
		ERR_OK);
	spool_answer(spool, 0, 1);
	assert_int_equal(spool_seen(spool).n, 2);
	assert_int_equal(spool_seen(spool).entries[0].answer, 1);
	vault_spool_clear(spool, 0);
	assert_int_equal(vault_spool_each(&w, spool, measure, &lengths), ERR_OK);
	assert_int_equal(lengths.intent, intent_bytes);
	assert_int_equal(lengths.answer, answer_bytes);
	vault_spool_clear(spool, slot);
	vault_spool_close(spool);
	work_end(&w);
}

static void everything_up_to_the_limits_fits_and_nothing_more(void **state)
{
	struct vault_spool_key key = spool_key(1);
	struct vault_spool *spool;
	size_t slot;
	struct work w;

	(void)state;
	assert_fits(0, 0);
	assert_fits(VAULT_SPOOL_INTENT_MAX_BYTES, VAULT_SPOOL_ANSWER_MAX_BYTES);
	work_begin(&w, SUPPORT_BUDGET_MS);
	spool = spool_make(1);
	assert_int_equal(vault_spool_reserve(&w, spool, &key,
				 secret_new(&w, NULL, VAULT_SPOOL_INTENT_MAX_BYTES + 1), &slot),
		ERR_TOO_LARGE);
	assert_int_equal(vault_spool_free(spool), 1);
	slot = spool_reserve(spool, 1);
	assert_int_equal(vault_spool_answer(&w, spool, slot, &key,
				 secret_new(&w, NULL, VAULT_SPOOL_ANSWER_MAX_BYTES + 1)),
		ERR_TOO_LARGE);
	spool_assert_one(spool, 1, 1, 0);
	vault_spool_close(spool);
	work_end(&w);
}

static void no_secret_stands_in_the_file(void **state)
{
	char name[VAULT_SPOOL_NAME_MAX_BYTES], *bytes;
	struct work w;
	size_t n;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	bytes = spool_load(&w, spool_abandon(name, 3), &n);
	assert_int_equal(n, SPOOL_AT_SLOTS + 3 * SPOOL_SLOT_BYTES);
	assert_null(memmem(bytes, n, "canary", 6));
	assert_null(memmem(bytes, n, "#######", 7));
	work_end(&w);
}

static void a_reused_slot_shows_nothing_of_its_past(void **state)
{
	struct vault_spool *spool = spool_make(1);

	(void)state;
	spool_answer(spool, spool_reserve(spool, 1), 1);
	vault_spool_clear(spool, 0);
	assert_int_equal(spool_reserve(spool, 2), 0);
	spool_assert_one(spool, 2, 2, 0);
	assert_int_equal(spool_seen(spool).entries[0].answer_err, ERR_NOT_FOUND);
	spool_answer(spool, 0, 2);
	spool_assert_one(spool, 2, 2, 2);
	vault_spool_close(spool);
}

/* Its key may come back, and then nothing must be lost. */
static void records_of_an_unknown_key_wait_for_it(void **state)
{
	char name[VAULT_SPOOL_NAME_MAX_BYTES];
	struct vault_keyring *ours = spool_keyring;
	struct spool_seen_entry entry;
	struct vault_spool *spool;
	char *other_dir = support_dir();
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	support_one_key(other_dir, "spool", "0f0f0f0f");
	spool_abandon(name, 1);
	spool_keyring = support_load(&w, other_dir, VAULT_RING_BIT(VAULT_RING_SPOOL));
	spool = spool_take();
	entry = spool_seen(spool).entries[0];
	assert_int_equal(entry.key, 1);
	assert_int_equal(entry.intent_err, ERR_KEY_UNKNOWN);
	assert_int_equal(entry.answer_err, ERR_KEY_UNKNOWN);
	vault_spool_close(spool);
	vault_keyring_free(spool_keyring);
	spool_keyring = ours;
	assert_int_equal(spool_names(), 1);
	spool = spool_take();
	spool_assert_one(spool, 1, 1, 1);
	vault_spool_close(spool);
	support_remove(other_dir);
	work_end(&w);
}

static void without_the_ring_there_is_no_spool(void **state)
{
	struct vault_keyring *other;
	struct vault_spool *spool;
	char *other_dir = support_dir();
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	support_one_key(other_dir, "token", "0a0b0c0d");
	other = support_load(&w, other_dir, VAULT_RING_BIT(VAULT_RING_TOKEN));
	assert_int_equal(vault_spool_open(&w, other, spool_state_dir, SPOOL_HOST, 1, &spool),
		ERR_KEY_UNKNOWN);
	assert_null(spool);
	assert_int_equal(
		vault_spool_take_over(&w, other, spool_state_dir, &spool), ERR_KEY_UNKNOWN);
	assert_null(spool);
	assert_int_equal(spool_names(), 0);
	vault_keyring_free(other);
	support_remove(other_dir);
	work_end(&w);
}

struct visit {
	struct vault_spool *spool;
	size_t calls, fail_at;
};

static enum err clear_it(struct work *w, const struct vault_spool_entry *entry, void *context)
{
	struct visit *visit = context;

	assert_string_equal(w->origin.request_id, "the-request");
	if (visit->calls++ == visit->fail_at) {
		work_fail(w, ERR_DB_AWAY, "detail %s", "of an entry");
		return work_cause(w, ERR_DB_AWAY, "cause");
	}
	vault_spool_clear(visit->spool, entry->slot);
	return ERR_OK;
}

static void each_ends_with_the_first_error(void **state)
{
	char name[VAULT_SPOOL_NAME_MAX_BYTES];
	struct visit visit = {.fail_at = 2};
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	w.origin.request_id = "the-request";
	spool_abandon(name, 5);
	visit.spool = spool_take();
	assert_int_equal(vault_spool_each(&w, visit.spool, clear_it, &visit), ERR_DB_AWAY);
	assert_int_equal(visit.calls, 3);
	assert_string_equal(w.detail, "detail of an entry");
	assert_string_equal(w.cause, "cause");
	assert_int_equal(spool_seen(visit.spool).n, 3);
	visit.calls = 3;
	assert_int_equal(vault_spool_each(&w, visit.spool, clear_it, &visit), ERR_OK);
	assert_int_equal(visit.calls, 6);
	vault_spool_close(visit.spool);
	assert_int_equal(spool_names(), 0);
	work_end(&w);
}

static enum err refuse(struct work *w, const struct vault_spool_entry *entry, void *context)
{
	(void)context;
	assert_int_equal(entry->answer_err, ERR_SEALED);
	return work_cause(w, ERR_DB_AWAY, "of its own");
}

/* The cause of a torn record is not the cause of what fails later. */
static void a_torn_record_does_not_explain_other_errors(void **state)
{
	char name[VAULT_SPOOL_NAME_MAX_BYTES], *bytes;
	struct vault_spool *spool;
	struct work w;
	size_t n;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	bytes = spool_load(&w, spool_abandon(name, 1), &n);
	bytes[SPOOL_AT_SLOTS + SPOOL_AT_ANSWER + SPOOL_AT_BLOB + 200] ^= 1;
	spool_store(name, bytes, n);
	spool = spool_take();
	assert_int_equal(vault_spool_each(&w, spool, refuse, NULL), ERR_DB_AWAY);
	assert_string_equal(w.cause, "of its own");
	vault_spool_close(spool);
	work_end(&w);
}

static void with_little_memory_for_secrets(void)
{
	struct lengths lengths;
	struct vault_spool *spool;
	struct work w;
	int locked;

	SPOOL_MUST(secret_init(4096, &locked) == ERR_OK);
	work_begin(&w, SUPPORT_BUDGET_MS);
	spool = spool_take();
	SPOOL_MUST(spool != NULL);
	SPOOL_MUST(vault_spool_each(&w, spool, measure, &lengths) == ERR_NO_MEMORY);
	vault_spool_close(spool);
	work_end(&w);
}

/* What there is no memory for must not pass for torn. */
static void without_memory_nothing_is_judged(void **state)
{
	char name[VAULT_SPOOL_NAME_MAX_BYTES];
	struct vault_spool *spool;

	(void)state;
	spool_abandon(name, 1);
	spool_in_child(with_little_memory_for_secrets);
	spool = spool_take();
	spool_assert_one(spool, 1, 1, 1);
	vault_spool_close(spool);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, spool_setup, spool_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_renewal_goes_its_way),
		TEST(what_is_left_is_had_by_the_next_one),
		TEST(what_was_taken_over_is_answered_and_cleared_but_not_filled),
		TEST(slots_are_given_once),
		TEST(only_the_intent_of_a_slot_is_answered),
		TEST(everything_up_to_the_limits_fits_and_nothing_more),
		TEST(no_secret_stands_in_the_file),
		TEST(a_reused_slot_shows_nothing_of_its_past),
		TEST(records_of_an_unknown_key_wait_for_it),
		TEST(without_the_ring_there_is_no_spool),
		TEST(each_ends_with_the_first_error),
		TEST(without_memory_nothing_is_judged),
		TEST(a_torn_record_does_not_explain_other_errors),
	};

	return cmocka_run_group_tests_name("vault_spool", tests, NULL, NULL);
}
