/* The spool on a disk that is full, failing, read-only or not ours: an error each time, and never
 * half of something. */
#include "spool_support.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY 65534

static void the_space_is_reserved(void **state)
{
	const size_t slots = 1000;
	struct vault_spool *spool = spool_make(slots);
	struct stat info;
	char path[512];

	(void)state;
	assert_int_equal(vault_spool_free(spool), slots);
	assert_int_equal(stat(spool_path(path, vault_spool_name(spool)), &info), 0);
	assert_int_equal(info.st_size, SPOOL_AT_SLOTS + slots * SPOOL_SLOT_BYTES);
	assert_true(info.st_blocks * 512 >= info.st_size);
	vault_spool_close(spool);
}

static void only_what_is_written_is_synced(void **state)
{
	struct vault_spool *spool = spool_make(1);

	(void)state;
	spool_faults.syncs = 0;
	spool_sync(spool);
	assert_int_equal(spool_faults.syncs, 0);
	spool_reserve(spool, 1);
	spool_sync(spool);
	spool_sync(spool);
	assert_int_equal(spool_faults.syncs, 1);
	spool_answer(spool, 0, 1);
	spool_sync(spool);
	assert_int_equal(spool_faults.syncs, 2);
	vault_spool_clear(spool, 0);
	spool_sync(spool);
	assert_int_equal(spool_faults.syncs, 2);
	vault_spool_close(spool);
}

static void fail_next(enum spool_fault fault, int error)
{
	spool_faults.fault = fault;
	spool_faults.error = error;
	spool_faults.at = 1;
	spool_faults.calls = 0;
}

static void all_is_well(void)
{
	spool_faults.fault = SPOOL_FAULT_NONE;
}

/* Asked again, the kernel would say that all is well: what it could not write it forgets. */
static void a_failed_sync_is_never_tried_again(void **state)
{
	struct vault_spool_key key = spool_key(1), other = spool_key(2);
	struct vault_spool *spool = spool_make(2);
	size_t slot = spool_reserve(spool, 1);
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_false(vault_spool_is_broken(spool));
	fail_next(SPOOL_FAULT_ERROR, EIO);
	assert_int_equal(vault_spool_sync(&w, spool), ERR_IO);
	assert_string_equal(w.cause, "fdatasync: EIO");
	all_is_well();
	assert_true(vault_spool_is_broken(spool));
	spool_faults.syncs = 0;
	assert_int_equal(vault_spool_sync(&w, spool), ERR_IO);
	assert_int_equal(spool_faults.syncs, 0);
	assert_int_equal(
		vault_spool_reserve(&w, spool, &other, support_secret(&w, "x"), &slot), ERR_IO);
	assert_int_equal(
		vault_spool_answer(&w, spool, slot, &key, support_secret(&w, "x")), ERR_IO);
	spool_assert_one(spool, 1, 1, 0);
	vault_spool_clear(spool, slot);
	assert_int_equal(spool_seen(spool).n, 0);
	assert_true(vault_spool_is_broken(spool));
	vault_spool_close(spool);
	assert_int_equal(spool_names(), 0);
	work_end(&w);
}

static enum err reserve_another(struct vault_spool *spool)
{
	struct vault_spool_key key = spool_key(2);
	size_t slot;
	struct work w;
	enum err err;

	work_begin(&w, SUPPORT_BUDGET_MS);
	err = vault_spool_reserve(&w, spool, &key, support_secret(&w, "x"), &slot);
	work_end(&w);
	return err;
}

static void a_disk_that_takes_no_intent_keeps_none(void **state)
{
	static const enum spool_fault how[] = {SPOOL_FAULT_ERROR, SPOOL_FAULT_SHORT};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct vault_spool *spool = spool_make(2);

		spool_reserve(spool, 1);
		fail_next(how[i], ENOSPC);
		assert_int_equal(reserve_another(spool), ERR_IO);
		assert_int_equal(vault_spool_free(spool), 1);
		assert_false(vault_spool_is_broken(spool));
		all_is_well();
		spool_assert_one(spool, 1, 1, 0);
		vault_spool_close(spool);
		/* nor does the next one see half of it */
		spool = spool_take();
		spool_assert_one(spool, 1, 1, 0);
		vault_spool_clear(spool, 0);
		vault_spool_close(spool);
	}
}

static void a_disk_that_takes_no_answer_keeps_the_intent(void **state)
{
	static const enum spool_fault how[] = {SPOOL_FAULT_ERROR, SPOOL_FAULT_SHORT};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct vault_spool_key key = spool_key(1);
		struct vault_spool *spool = spool_make(1);
		struct work w;

		work_begin(&w, SUPPORT_BUDGET_MS);
		spool_reserve(spool, 1);
		fail_next(how[i], ENOSPC);
		assert_int_equal(vault_spool_answer(&w, spool, 0, &key,
					 secret_new(&w, NULL, VAULT_SPOOL_ANSWER_MAX_BYTES)),
			ERR_IO);
		assert_string_equal(w.cause, "write: ENOSPC");
		all_is_well();
		spool_assert_one(spool, 1, 1, 0);
		assert_int_equal(spool_seen(spool).entries[0].answer_err,
			how[i] == SPOOL_FAULT_SHORT ? ERR_SEALED : ERR_NOT_FOUND);
		spool_answer(spool, 0, 1);
		spool_assert_one(spool, 1, 1, 1);
		vault_spool_clear(spool, 0);
		vault_spool_close(spool);
		work_end(&w);
	}
}

static void a_slot_that_cannot_be_cleared_stays(void **state)
{
	struct vault_spool *spool = spool_make(1);

	(void)state;
	spool_answer(spool, spool_reserve(spool, 1), 1);
	fail_next(SPOOL_FAULT_ERROR, EIO);
	vault_spool_clear(spool, 0);
	all_is_well();
	assert_true(vault_spool_is_broken(spool));
	assert_int_equal(vault_spool_free(spool), 0);
	vault_spool_close(spool);
	assert_int_equal(spool_names(), 1);
	spool = spool_take();
	spool_assert_one(spool, 1, 1, 1);
	vault_spool_close(spool);
}

/* Every call that opening makes is made to fail, one after the other. */
static void opening_fails_whole_at_every_call(void **state)
{
	static const int errors[] = {EIO, ENOSPC, EROFS, EACCES};
	enum err err = ERR_IO;
	int at = 0;

	(void)state;
	while (err && at < 100) {
		at++;
		for (size_t i = 0; i < 4; i++) {
			struct vault_spool *spool;
			struct work w;
			char path[512];

			rmdir(spool_path(path, ""));
			work_begin(&w, SUPPORT_BUDGET_MS);
			spool_faults = (struct spool_faults){
				.fault = SPOOL_FAULT_SHORT, .at = at, .error = errors[i]};
			err = vault_spool_open(
				&w, spool_keyring, spool_state_dir, SPOOL_HOST, 2, &spool);
			all_is_well();
			assert_int_equal(err == ERR_OK, spool_faults.calls < at);
			assert_int_equal(err == ERR_OK, spool != NULL);
			if (err) {
				assert_int_equal(err, ERR_IO);
				assert_non_null(strstr(w.cause, strerrorname_np(errors[i])));
			}
			vault_spool_close(spool);
			assert_int_equal(spool_names(), 0);
			work_end(&w);
		}
	}
	/* two folders, the spool's made and opened, file: create, mode, space, write, 3 syncs, name
	 */
	assert_int_equal(at - 1, 12);
}

/* Permissions do not stop root. The state folder is entered first, for the way to it may be closed
 * to others. */
static void become_nobody(void)
{
	SPOOL_MUST(chdir(spool_state_dir) == 0);
	if (geteuid() == 0) {
		SPOOL_MUST(chown(".", NOBODY, NOBODY) == 0);
		SPOOL_MUST(chown("spool", NOBODY, NOBODY) == 0);
		SPOOL_MUST(setgroups(0, NULL) == 0);
		SPOOL_MUST(setresgid(NOBODY, NOBODY, NOBODY) == 0);
		SPOOL_MUST(setresuid(NOBODY, NOBODY, NOBODY) == 0);
	}
	spool_state_dir = strdup(".");
	SPOOL_MUST(spool_state_dir != NULL);
}

static void in_a_folder_that_is_read_only(void)
{
	become_nobody();
	SPOOL_MUST(chmod("spool", 0500) == 0);
	spool_must_not_open(1, "create: EACCES");
	SPOOL_MUST(chmod("spool", 0) == 0);
	spool_must_not_open(1, "open: EACCES");
	SPOOL_MUST(chmod("spool", 0700) == 0);
	SPOOL_MUST(spool_names() == 0);
	SPOOL_MUST(rmdir("spool") == 0);
	SPOOL_MUST(chmod(".", 0500) == 0);
	spool_must_not_open(1, "mkdir: EACCES");
	SPOOL_MUST(chmod(".", 0700) == 0);
	vault_spool_close(spool_make(1));
	free(spool_state_dir);
}

static void a_read_only_folder_is_an_error(void **state)
{
	char path[512];

	(void)state;
	assert_int_equal(mkdir(spool_path(path, ""), 0700), 0);
	spool_in_child(in_a_folder_that_is_read_only);
}

static void beside_a_file_that_cannot_be_opened(void)
{
	char name[VAULT_SPOOL_NAME_MAX_BYTES], path[512];
	struct vault_spool *first, *second, *none;

	become_nobody();
	SPOOL_MUST(chmod(spool_path(path, spool_abandon(name, 1)), 0) == 0);
	spool_abandon(name, 1);
	spool_abandon(name, 1);
	spool_assert_look(3, 3);
	SPOOL_MUST(spool_try_take(&first) == ERR_OK && first);
	SPOOL_MUST(spool_try_take(&second) == ERR_OK && second);
	SPOOL_MUST(spool_try_take(&none) == ERR_IO && !none);
	spool_assert_look(3, 1);
	vault_spool_close(first);
	vault_spool_close(second);
	free(spool_state_dir);
}

static void one_that_cannot_be_opened_hides_no_other(void **state)
{
	char path[512];

	(void)state;
	assert_int_equal(mkdir(spool_path(path, ""), 0700), 0);
	spool_in_child(beside_a_file_that_cannot_be_opened);
}

static void with_a_limit_of_file_size(void)
{
	struct rlimit limit = {1024 * 1024, 1024 * 1024};

	signal(SIGXFSZ, SIG_IGN);
	SPOOL_MUST(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	spool_must_not_open(16, "allocate: EFBIG");
	SPOOL_MUST(spool_names() == 0);
	vault_spool_close(spool_make(15));
}

static void on_a_small_disk(void)
{
	struct vault_spool *spool;

	if (unshare(CLONE_NEWNS) < 0)
		return; /* even root may not everywhere; the limit above is tested all the same */
	SPOOL_MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	SPOOL_MUST(mount("tmpfs", spool_state_dir, "tmpfs", 0, "size=1m") == 0);
	spool_must_not_open(16, "allocate: ENOSPC");
	SPOOL_MUST(spool_names() == 0);
	/* A slot that was given can be written, however full the disk is by now. */
	spool = spool_make(10);
	spool_must_not_open(10, "allocate: ENOSPC");
	for (int i = 0; i < 10; i++)
		spool_answer(spool, spool_reserve(spool, i + 1), i + 1);
	spool_sync(spool);
	SPOOL_MUST(spool_seen(spool).n == 10);
	vault_spool_close(spool);
	SPOOL_MUST(mount("none", spool_state_dir, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
	spool_must_not_open(1, "create: EROFS");
	SPOOL_MUST(spool_try_take(&spool) == ERR_IO && !spool);
	spool_assert_look(1, 1);
}

static void a_full_disk_is_an_error(void **state)
{
	(void)state;
	spool_in_child(with_a_limit_of_file_size);
	if (geteuid() == 0)
		spool_in_child(on_a_small_disk);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, spool_setup, spool_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_space_is_reserved),
		TEST(only_what_is_written_is_synced),
		TEST(a_failed_sync_is_never_tried_again),
		TEST(a_disk_that_takes_no_intent_keeps_none),
		TEST(a_disk_that_takes_no_answer_keeps_the_intent),
		TEST(a_slot_that_cannot_be_cleared_stays),
		TEST(opening_fails_whole_at_every_call),
		TEST(a_read_only_folder_is_an_error),
		TEST(one_that_cannot_be_opened_hides_no_other),
		TEST(a_full_disk_is_an_error),
	};

	return cmocka_run_group_tests_name("vault_spool_disk", tests, NULL, NULL);
}
