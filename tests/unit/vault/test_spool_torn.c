/* The spool's records: what is torn, altered, moved or left over never passes for something else,
 * and nothing that can be read is lost. */
#include "spool_support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RECORD_BYTES(plain) (SPOOL_OVERHEAD + (plain))

/* The entry of slot 0 of a file that was tampered with. The file is not changed by it. */
static struct spool_seen_entry entry_of(const char *name, const void *bytes, size_t n)
{
	struct vault_spool *spool;
	struct spool_seen seen;

	spool_store(name, bytes, n);
	spool = spool_take();
	assert_non_null(spool);
	seen = spool_seen(spool);
	vault_spool_close(spool);
	assert_int_equal(seen.n, 1);
	return seen.entries[0];
}

static int is_in_key_id(size_t byte)
{
	return byte >= SPOOL_AT_KEY_ID && byte < SPOOL_AT_KEY_ID + 4;
}

static void every_flip_in_an_answer_is_noticed(void **state)
{
	size_t n, record = RECORD_BYTES(9000);
	char name[VAULT_SPOOL_NAME_MAX_BYTES], *bytes;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	bytes = spool_load(&w, spool_abandon(name, 1), &n);
	/* The head bit by bit, the cipher text in places, the tag's last byte. */
	for (size_t bit = 0; bit < record * 8; bit += bit < 1200 ? 1 : 997) {
		char *byte = bytes + SPOOL_AT_SLOTS + SPOOL_AT_ANSWER + bit / 8;
		struct spool_seen_entry entry;

		*byte = (char)(*byte ^ 1 << bit % 8);
		entry = entry_of(name, bytes, n);
		assert_int_equal(entry.key, 1);
		assert_int_equal(entry.intent, 1);
		assert_int_equal(entry.answer, 0);
		assert_int_equal(
			entry.answer_err, is_in_key_id(bit / 8) ? ERR_KEY_UNKNOWN : ERR_SEALED);
		*byte = (char)(*byte ^ 1 << bit % 8);
	}
	bytes[SPOOL_AT_SLOTS + SPOOL_AT_ANSWER + record - 1] ^= 1;
	assert_int_equal(entry_of(name, bytes, n).answer_err, ERR_SEALED);
	bytes[SPOOL_AT_SLOTS + SPOOL_AT_ANSWER + record - 1] ^= 1;
	assert_int_equal(entry_of(name, bytes, n).answer, 1);
	work_end(&w);
}

/* The key in its head as well; and the answer does not need the intent. */
static void every_flip_in_an_intent_is_noticed(void **state)
{
	size_t n, record = RECORD_BYTES(strlen("canary intent 1"));
	char name[VAULT_SPOOL_NAME_MAX_BYTES], *bytes;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	bytes = spool_load(&w, spool_abandon(name, 1), &n);
	for (size_t bit = 0; bit < record * 8; bit++) {
		char *byte = bytes + SPOOL_AT_SLOTS + bit / 8;
		struct spool_seen_entry entry;

		*byte = (char)(*byte ^ 1 << bit % 8);
		entry = entry_of(name, bytes, n);
		assert_int_equal(entry.intent, 0);
		assert_int_equal(
			entry.intent_err, is_in_key_id(bit / 8) ? ERR_KEY_UNKNOWN : ERR_SEALED);
		assert_int_equal(entry.key, 1);
		assert_int_equal(entry.answer, 1);
		*byte = (char)(*byte ^ 1 << bit % 8);
	}
	assert_int_equal(entry_of(name, bytes, n).intent, 1);
	work_end(&w);
}

static void every_cut_is_noticed(void **state)
{
	size_t n, answer_end = SPOOL_AT_SLOTS + SPOOL_AT_ANSWER + RECORD_BYTES(9000);
	size_t intent_end = SPOOL_AT_SLOTS + RECORD_BYTES(strlen("canary intent 1"));
	char name[VAULT_SPOOL_NAME_MAX_BYTES], *bytes;
	struct vault_spool *spool;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	bytes = spool_load(&w, spool_abandon(name, 1), &n);
	for (size_t cut = n; cut > SPOOL_AT_SLOTS; cut -= cut > answer_end + 100 ? 4099 : 37) {
		struct spool_seen_entry entry = entry_of(name, bytes, cut);

		if (cut >= SPOOL_AT_SLOTS + SPOOL_AT_BLOB)
			assert_int_equal(entry.key, 1);
		assert_int_equal(entry.intent, cut >= intent_end);
		assert_int_equal(entry.intent_err, cut >= intent_end ? ERR_OK : ERR_SEALED);
		assert_int_equal(entry.answer, cut >= answer_end);
		if (cut >= answer_end)
			assert_int_equal(entry.answer_err, ERR_OK);
		else
			assert_int_equal(entry.answer_err, cut > SPOOL_AT_SLOTS + SPOOL_AT_ANSWER
								   ? ERR_SEALED
								   : ERR_NOT_FOUND);
	}
	for (size_t cut = 0; cut <= SPOOL_AT_SLOTS; cut += cut < 16 ? 1 : 1020) {
		spool_store(name, bytes, cut);
		spool = spool_take();
		assert_non_null(spool);
		assert_int_equal(spool_seen(spool).n, 0);
		vault_spool_close(spool);
		assert_int_equal(spool_names(), 0);
	}
	work_end(&w);
}

/* A power cut leaves any choice of the sectors that were written last. */
static void an_answer_of_which_some_sectors_are_missing_is_none(void **state)
{
	enum { SECTOR = 512, SECTORS = 18 };
	char name[VAULT_SPOOL_NAME_MAX_BYTES], *before, *after, *mixed;
	struct vault_spool *spool = spool_make(1);
	unsigned mixes = 0;
	struct work w;
	size_t n;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	snprintf(name, sizeof(name), "%s", vault_spool_name(spool));
	/* What stood there is the answer of an earlier use. */
	spool_answer(spool, spool_reserve(spool, 1), 1);
	vault_spool_clear(spool, 0);
	spool_reserve(spool, 2);
	before = spool_load(&w, name, &n);
	spool_answer(spool, 0, 2);
	after = spool_load(&w, name, &n);
	vault_spool_close(spool);
	mixed = work_alloc(&w, n);
	for (unsigned mix = 0; mix < 1u << SECTORS; mix += mix < 64 ? 1 : 1021, mixes++) {
		struct spool_seen_entry entry;

		memcpy(mixed, before, n);
		for (unsigned i = 0; i < SECTORS; i++) {
			size_t at = SPOOL_AT_SLOTS + SPOOL_AT_ANSWER + i * SECTOR;

			if (mix & 1u << i)
				memcpy(mixed + at, after + at, SECTOR);
		}
		entry = entry_of(name, mixed, n);
		assert_int_equal(entry.key, 2);
		assert_int_equal(entry.intent, 2);
		assert_int_equal(entry.answer, 0);
		assert_int_equal(entry.answer_err, mix & 1 ? ERR_SEALED : ERR_NOT_FOUND);
	}
	assert_true(mixes > 300);
	assert_int_equal(entry_of(name, after, n).answer, 2);
	work_end(&w);
}

/* Clearing is not durable: after a power cut the old answer may stand below a new intent. */
static void an_old_answer_is_never_the_answer_to_a_new_intent(void **state)
{
	char name[VAULT_SPOOL_NAME_MAX_BYTES], *old, *bytes;
	struct spool_seen_entry entry;
	struct vault_spool *spool;
	struct work w;
	size_t n, at_answer = SPOOL_AT_SLOTS + SPOOL_AT_ANSWER;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	old = spool_load(&w, spool_abandon(name, 1), &n);
	spool = spool_take();
	vault_spool_clear(spool, 0);
	vault_spool_close(spool);
	spool = spool_make(1);
	snprintf(name, sizeof(name), "%s", vault_spool_name(spool));
	spool_reserve(spool, 2);
	bytes = spool_load(&w, name, &n);
	vault_spool_close(spool);
	memcpy(bytes + at_answer, old + at_answer, SPOOL_SLOT_BYTES - SPOOL_AT_ANSWER);
	entry = entry_of(name, bytes, n);
	assert_int_equal(entry.key, 2);
	assert_int_equal(entry.intent, 2);
	assert_int_equal(entry.answer, 0);
	assert_int_equal(entry.answer_err, ERR_NOT_FOUND);
	/* nor when it says that it is */
	memcpy(bytes + at_answer + SPOOL_AT_KEY, bytes + SPOOL_AT_SLOTS + SPOOL_AT_KEY,
		3 * sizeof(int64_t));
	entry = entry_of(name, bytes, n);
	assert_int_equal(entry.intent, 2);
	assert_int_equal(entry.answer_err, ERR_SEALED);
	/* nor when its key is away, so that nobody waits for it */
	memcpy(bytes + at_answer, old + at_answer, SPOOL_AT_BLOB);
	bytes[at_answer + SPOOL_AT_KEY_ID] ^= 1;
	assert_int_equal(entry_of(name, bytes, n).answer_err, ERR_NOT_FOUND);
	work_end(&w);
}

static void records_that_moved_stay_what_they_are(void **state)
{
	char name[VAULT_SPOOL_NAME_MAX_BYTES], *bytes, *first, *second;
	struct vault_spool *spool;
	struct spool_seen seen;
	struct work w;
	size_t n;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	bytes = spool_load(&w, spool_abandon(name, 2), &n);
	first = bytes + SPOOL_AT_SLOTS;
	second = first + SPOOL_SLOT_BYTES;
	/* a slot whole */
	memcpy(first, second, SPOOL_SLOT_BYTES);
	spool_store(name, bytes, n);
	spool = spool_take();
	seen = spool_seen(spool);
	vault_spool_close(spool);
	assert_int_equal(seen.n, 2);
	for (size_t i = 0; i < seen.n; i++) {
		assert_int_equal(seen.entries[i].key, 2);
		assert_int_equal(seen.entries[i].intent, 2);
		assert_int_equal(seen.entries[i].answer, 2);
	}
	/* an intent in an answer's place, also when it says that it is one */
	memcpy(first + SPOOL_AT_ANSWER, first, SPOOL_AT_ANSWER);
	memset(second, 0, SPOOL_SLOT_BYTES);
	assert_int_equal(entry_of(name, bytes, n).answer_err, ERR_SEALED);
	first[SPOOL_AT_ANSWER + 5] = 'A';
	assert_int_equal(entry_of(name, bytes, n).answer_err, ERR_SEALED);
	assert_int_equal(entry_of(name, bytes, n).intent, 2);
	work_end(&w);
}

static void what_does_not_open_at_all_is_told(void **state)
{
	char name[VAULT_SPOOL_NAME_MAX_BYTES], *bytes, *slot;
	struct spool_seen_entry entry;
	struct work w;
	size_t n;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	bytes = spool_load(&w, spool_abandon(name, 1), &n);
	slot = bytes + SPOOL_AT_SLOTS;
	/* both torn: the key is only claimed */
	slot[SPOOL_AT_BLOB + 50] ^= 1;
	slot[SPOOL_AT_ANSWER + SPOOL_AT_BLOB + 50] ^= 1;
	entry = entry_of(name, bytes, n);
	assert_int_equal(entry.key, 1);
	assert_int_equal(entry.intent_err, ERR_SEALED);
	assert_int_equal(entry.answer_err, ERR_SEALED);
	/* the intent claims nothing any more */
	slot[0] ^= 1;
	assert_int_equal(entry_of(name, bytes, n).key, 1);
	slot[SPOOL_AT_ANSWER] ^= 1;
	assert_int_equal(entry_of(name, bytes, n).key, 0);
	/* a kill while it was cleared */
	memset(slot, 0, SPOOL_AT_ANSWER);
	assert_int_equal(entry_of(name, bytes, n).intent_err, ERR_NOT_FOUND);
	slot[SPOOL_AT_ANSWER] ^= 1;
	slot[SPOOL_AT_ANSWER + SPOOL_AT_BLOB + 50] ^= 1;
	entry = entry_of(name, bytes, n);
	assert_int_equal(entry.key, 1);
	assert_int_equal(entry.intent_err, ERR_NOT_FOUND);
	assert_int_equal(entry.answer, 1);
	work_end(&w);
}

/* The head of the file is one page: what it loses must not cost the slots behind it. */
static void a_damaged_header_costs_no_slot(void **state)
{
	char name[VAULT_SPOOL_NAME_MAX_BYTES], *bytes;
	struct work w;
	size_t n;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	bytes = spool_load(&w, spool_abandon(name, 1), &n);
	memset(bytes, 0, SPOOL_AT_SLOTS);
	assert_int_equal(entry_of(name, bytes, n).answer, 1);
	memset(bytes, 0xff, SPOOL_AT_SLOTS);
	assert_int_equal(entry_of(name, bytes, n).answer, 1);
	work_end(&w);
}

static void a_file_of_a_later_format_is_left_alone(void **state)
{
	char name[VAULT_SPOOL_NAME_MAX_BYTES], *bytes;
	struct vault_spool_status status;
	struct work w;
	size_t n;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	bytes = spool_load(&w, spool_abandon(name, 1), &n);
	assert_memory_equal(bytes, "VSTS\x01", 5);
	bytes[4] = 2;
	spool_store(name, bytes, n);
	assert_null(spool_take());
	assert_int_equal(vault_spool_look(&w, spool_state_dir, &status), ERR_OK);
	assert_int_equal(status.files, 1);
	assert_int_equal(status.abandoned, 1);
	bytes[4] = 1;
	assert_int_equal(entry_of(name, bytes, n).answer, 1);
	work_end(&w);
}

/* A sector that cannot be read today may be read tomorrow, elsewhere. */
static void a_slot_that_cannot_be_read_stays(void **state)
{
	char name[VAULT_SPOOL_NAME_MAX_BYTES];
	struct spool_seen_entry entry;
	struct vault_spool *spool;

	(void)state;
	spool_abandon(name, 1);
	spool_faults.read_error = EIO;
	spool = spool_take();
	assert_non_null(spool);
	assert_true(spool_faults.reads > 0);
	entry = spool_seen(spool).entries[0];
	assert_int_equal(entry.intent_err, ERR_IO);
	assert_int_equal(entry.answer_err, ERR_IO);
	assert_int_equal(entry.key, 0);
	vault_spool_close(spool);
	spool_faults.read_error = 0;
	spool = spool_take();
	spool_assert_one(spool, 1, 1, 1);
	vault_spool_close(spool);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, spool_setup, spool_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_flip_in_an_answer_is_noticed),
		TEST(every_flip_in_an_intent_is_noticed),
		TEST(every_cut_is_noticed),
		TEST(an_answer_of_which_some_sectors_are_missing_is_none),
		TEST(an_old_answer_is_never_the_answer_to_a_new_intent),
		TEST(records_that_moved_stay_what_they_are),
		TEST(what_does_not_open_at_all_is_told),
		TEST(a_damaged_header_costs_no_slot),
		TEST(a_file_of_a_later_format_is_left_alone),
		TEST(a_slot_that_cannot_be_read_stays),
	};

	return cmocka_run_group_tests_name("vault_spool_torn", tests, NULL, NULL);
}
