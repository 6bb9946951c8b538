/* The spool's files: their names and their folder, and who may make, take and remove them. */
#include "spool_support.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_name(const char *name, const char *host)
{
	char expected[256];
	size_t n = (size_t)snprintf(expected, sizeof(expected), "%s.%ld.", host, (long)getpid());

	return strncmp(name, expected, n) == 0 && strspn(name + n, "0123456789abcdef") == 16 &&
	       text_equal(name + n + 16, ".spool");
}

static void assert_host(const char *host, const char *expected)
{
	struct vault_spool *spool;
	struct work w;

	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(
		vault_spool_open(&w, spool_keyring, spool_state_dir, host, 1, &spool), ERR_OK);
	assert_true(is_name(vault_spool_name(spool), expected));
	assert_true(strlen(vault_spool_name(spool)) < VAULT_SPOOL_NAME_MAX_BYTES);
	spool_reserve(spool, 1);
	vault_spool_close(spool);
	/* whatever the name: it is found again */
	spool = spool_take();
	assert_non_null(spool);
	vault_spool_clear(spool, 0);
	vault_spool_close(spool);
	work_end(&w);
}

static void a_name_is_made_of_the_host(void **state)
{
	char host[300], most[65];

	(void)state;
	memset(host, 'h', sizeof(host) - 1);
	host[sizeof(host) - 1] = 0;
	memset(most, 'h', sizeof(most) - 1);
	most[sizeof(most) - 1] = 0;
	assert_host("db-1.example_net", "db-1.example_net");
	assert_host("", "host");
	assert_host(".hidden", "_hidden");
	assert_host("../../etc/passwd", "_._.._etc_passwd");
	assert_host("a b\n\xc3\xa4", "a_b___");
	assert_host(host, most);
}

static void no_two_have_the_same_name(void **state)
{
	struct vault_spool *spools[8];

	(void)state;
	for (int i = 0; i < 8; i++) {
		spools[i] = spool_make(1);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(
				vault_spool_name(spools[i]), vault_spool_name(spools[k]));
	}
	assert_int_equal(spool_names(), 8);
	for (int i = 0; i < 8; i++)
		vault_spool_close(spools[i]);
	assert_int_equal(spool_names(), 0);
}

static void nobody_else_can_read_it(void **state)
{
	mode_t before = umask(0);
	struct vault_spool *spool = spool_make(1);
	struct stat info;
	char path[512];

	(void)state;
	umask(before);
	assert_int_equal(lstat(spool_path(path, ""), &info), 0);
	assert_int_equal(info.st_mode & 07777, 0700);
	assert_int_equal(lstat(spool_path(path, vault_spool_name(spool)), &info), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
	assert_true(S_ISREG(info.st_mode));
	vault_spool_close(spool);
}

static void a_number_of_slots_has_its_limits(void **state)
{
	struct vault_spool *spool;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(
		vault_spool_open(&w, spool_keyring, spool_state_dir, "h", 0, &spool), ERR_BUG);
	assert_null(spool);
	assert_int_equal(vault_spool_open(&w, spool_keyring, spool_state_dir, "h",
				 VAULT_SPOOL_SLOTS_MAX + 1, &spool),
		ERR_BUG);
	assert_null(spool);
	assert_int_equal(spool_names(), 0);
	vault_spool_close(NULL);
	work_end(&w);
}

static void folders_that_are_none_are_refused(void **state)
{
	char *was = spool_state_dir, path[512], other[512];
	struct vault_spool_status status;
	struct vault_spool *spool;

	(void)state;
	/* no state folder */
	assert_true(asprintf(&spool_state_dir, "%s/away", was) > 0);
	spool_must_not_open(1, "open: ENOENT");
	assert_int_equal(spool_try_take(&spool), ERR_IO);
	assert_null(spool);
	assert_int_equal(spool_look(&status), ERR_IO);
	free(spool_state_dir);
	spool_state_dir = was;
	/* a link */
	snprintf(other, sizeof(other), "%s/elsewhere", spool_state_dir);
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(symlink(other, spool_path(path, "")), 0);
	spool_must_not_open(1, "open: ENOTDIR");
	assert_int_equal(spool_try_take(&spool), ERR_IO);
	assert_int_equal(spool_look(&status), ERR_IO);
	assert_int_equal(rmdir(other), 0);
	assert_int_equal(unlink(path), 0);
	/* a file */
	support_write(spool_state_dir, "spool", "", 0, 0600);
	spool_must_not_open(1, "open: ENOTDIR");
	assert_int_equal(spool_try_take(&spool), ERR_IO);
	assert_int_equal(unlink(path), 0);
	/* none yet: there is nothing to take over, and to look makes none */
	assert_null(spool_take());
	spool_assert_look(0, 0);
	assert_int_equal(access(path, F_OK), -1);
}

static void folders_of_others_are_refused(void **state)
{
	struct vault_spool_status status;
	struct vault_spool *spool;
	char path[512];

	(void)state;
	assert_int_equal(mkdir(spool_path(path, ""), 0700), 0);
	spool_faults.other_user = 1;
	spool_must_not_open(1, "spool: wrong owner");
	assert_int_equal(spool_try_take(&spool), ERR_IO);
	assert_int_equal(spool_look(&status), ERR_IO);
	spool_faults.other_user = 0;
	assert_int_equal(chmod(path, 0770), 0);
	spool_must_not_open(1, "spool: others may write");
	assert_int_equal(chmod(path, 0702), 0);
	spool_must_not_open(1, "spool: others may write");
	assert_int_equal(chmod(path, 0755), 0);
	vault_spool_close(spool_make(1));
}

/* systemd and operators make the state folder itself a link. */
static void the_state_folder_may_be_a_link(void **state)
{
	char *was = spool_state_dir, real[512];
	struct vault_spool *spool;

	(void)state;
	snprintf(real, sizeof(real), "%s/real", was);
	assert_int_equal(mkdir(real, 0700), 0);
	assert_true(asprintf(&spool_state_dir, "%s/link", was) > 0);
	assert_int_equal(symlink(real, spool_state_dir), 0);
	spool = spool_make(1);
	spool_reserve(spool, 1);
	vault_spool_close(spool);
	spool = spool_take();
	spool_assert_one(spool, 1, 1, 0);
	vault_spool_close(spool);
	free(spool_state_dir);
	spool_state_dir = was;
}

static void what_is_no_spool_is_left_alone(void **state)
{
	char path[512], target[512];

	(void)state;
	vault_spool_close(spool_make(1));
	spool_store("notes.txt", "x", 1);
	spool_store(".notes", "x", 1);
	spool_store(".spool", "x", 1);
	spool_store("a name.spool", "x", 1);
	spool_store("a.spool.tmp", "x", 1);
	assert_int_equal(mkdir(spool_path(path, "dir.spool"), 0700), 0);
	assert_int_equal(mkdir(spool_path(path, ".dir.spool"), 0700), 0);
	assert_int_equal(mkfifo(spool_path(path, "fifo.spool"), 0600), 0);
	support_write(spool_state_dir, "target", "x", 1, 0600);
	snprintf(target, sizeof(target), "%s/target", spool_state_dir);
	assert_int_equal(symlink(target, spool_path(path, "link.spool")), 0);
	assert_int_equal(symlink(target, spool_path(path, ".link.spool")), 0);
	assert_int_equal(spool_names(), 10);
	spool_assert_look(0, 0);
	assert_null(spool_take());
	assert_int_equal(spool_names(), 10);
}

static void looking_counts_who_is_held_by_nobody(void **state)
{
	char name[VAULT_SPOOL_NAME_MAX_BYTES];
	struct vault_spool *spool = spool_make(1), *taken;

	(void)state;
	spool_assert_look(1, 0);
	spool_abandon(name, 1);
	spool_abandon(name, 1);
	spool_assert_look(3, 2);
	taken = spool_take();
	spool_assert_look(3, 1);
	vault_spool_clear(taken, 0);
	vault_spool_close(taken);
	spool_assert_look(2, 1);
	vault_spool_close(spool);
	spool_assert_look(1, 1);
}

/* Our own file, too, is somebody's. */
static void who_lives_is_not_taken_over(void **state)
{
	struct vault_spool *spool = spool_make(1);

	(void)state;
	spool_reserve(spool, 1);
	assert_null(spool_take());
	spool_assert_look(1, 0);
	assert_null(spool_take());
	spool_assert_one(spool, 1, 1, 0);
	vault_spool_close(spool);
	spool = spool_take();
	assert_non_null(spool);
	vault_spool_close(spool);
}

static void leftovers_go_unless_they_are_being_made(void **state)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[512];
	int fd;

	(void)state;
	vault_spool_close(spool_make(1));
	spool_store(".host-b.1.0123456789abcdef.spool", "", 0);
	spool_store(".host-b.2.0123456789abcdef.spool", "VSTS", 4);
	fd = open(spool_path(path, ".host-b.2.0123456789abcdef.spool"), O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_null(spool_take());
	assert_int_equal(spool_names(), 1);
	assert_int_equal(access(path, F_OK), 0);
	close(fd);
	assert_null(spool_take());
	assert_int_equal(spool_names(), 0);
}

static void assert_folder_is_free(void)
{
	char path[512];
	int fd = open(spool_path(path, ""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
}

/* Making and sweeping exclude each other; living and sweeping, or living and making, do not. */
static void who_lives_hinders_no_sweeper_and_no_maker(void **state)
{
	enum { ABANDONED = 10, LEFTOVERS = 20 };
	char name[VAULT_SPOOL_NAME_MAX_BYTES];
	struct vault_spool *own = spool_make(1), *taken[ABANDONED];

	(void)state;
	assert_folder_is_free();
	for (int i = 0; i < ABANDONED; i++)
		spool_abandon(name, 1);
	for (int i = 0; i < LEFTOVERS; i++) {
		snprintf(name, sizeof(name), ".host-b.%d.spool", i);
		spool_store(name, "", 0);
	}
	/* One or the other of these meets leftovers on its way. */
	for (int i = 0; i < ABANDONED; i++) {
		taken[i] = spool_take();
		assert_non_null(taken[i]);
		assert_folder_is_free();
	}
	assert_null(spool_take());
	assert_int_equal(spool_names(), 1 + ABANDONED);
	vault_spool_close(own);
	for (int i = 0; i < ABANDONED; i++)
		vault_spool_close(taken[i]);
}

static int held_fd = -1, opened_count;

/* Somebody removes the file between its being opened and locked, as the one who took it over and is
 * done. */
static void removed_by_another(int dir_fd, const char *name)
{
	if (!strstr(name, ".spool") || opened_count++ > 0)
		return;
	assert_int_equal(unlinkat(dir_fd, name, 0), 0);
}

/* Somebody has it locked by then. */
static void locked_by_another(int dir_fd, const char *name)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (!strstr(name, ".spool") || opened_count++ > 0)
		return;
	held_fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC, 0);
	assert_true(held_fd >= 0);
	assert_int_equal(fcntl(held_fd, F_OFD_SETLK, &lock), 0);
}

/* Somebody looks for what is left just when the new file is there, but not locked. */
static void swept_by_another(int dir_fd, const char *name)
{
	(void)dir_fd;
	if (name[0] != '.' || !strstr(name, ".spool") || opened_count++ > 0)
		return;
	assert_int_equal(spool_names(), 1);
	assert_null(spool_take());
	assert_int_equal(spool_names(), 1);
}

static void a_new_file_is_not_swept_away(void **state)
{
	struct vault_spool *spool;

	(void)state;
	opened_count = 0;
	spool_faults.opened = swept_by_another;
	spool = spool_make(1);
	assert_int_equal(opened_count, 1);
	spool_assert_look(1, 0);
	vault_spool_close(spool);
	/* whoever locks it, out of all order, does not get it */
	opened_count = 0;
	spool_faults.opened = locked_by_another;
	spool_must_not_open(1, "lock: EAGAIN");
	close(held_fd);
	assert_int_equal(spool_names(), 0);
}

static void a_file_that_another_was_faster_to_take_is_not_taken(void **state)
{
	char name[VAULT_SPOOL_NAME_MAX_BYTES];
	struct vault_spool *spool;

	(void)state;
	spool_abandon(name, 1);
	opened_count = 0;
	spool_faults.opened = locked_by_another;
	assert_null(spool_take());
	assert_int_equal(opened_count, 2);
	close(held_fd);
	opened_count = 0;
	spool_faults.opened = removed_by_another;
	assert_null(spool_take());
	spool_faults.opened = NULL;
	/* and when the other left it, it is had again */
	spool_abandon(name, 1);
	spool = spool_take();
	assert_non_null(spool);
	vault_spool_close(spool);
}

/* How many descriptors are open, all of which but the first three a started program must not get.
 */
static int open_fds(int *handed_on)
{
	int n = 0;

	*handed_on = 0;
	for (int fd = 3; fd < 256; fd++) {
		int flags = fcntl(fd, F_GETFD);

		n += flags >= 0;
		*handed_on += flags >= 0 && !(flags & FD_CLOEXEC);
	}
	return n;
}

static void nothing_stays_open_nor_is_handed_on(void **state)
{
	char name[VAULT_SPOOL_NAME_MAX_BYTES];
	struct vault_spool *own, *taken, *none;
	int handed_on, handed_on_before, before = open_fds(&handed_on_before);

	(void)state;
	spool_abandon(name, 1);
	spool_store("later.spool", "VSTS\x02", 5);
	spool_store(".left-over.spool", "", 0);
	own = spool_make(1);
	taken = spool_take();
	assert_null(spool_take());
	spool_assert_look(3, 1);
	assert_int_equal(open_fds(&handed_on), before + 4);
	assert_int_equal(handed_on, handed_on_before);
	vault_spool_close(own);
	vault_spool_close(taken);
	for (int at = 1; at <= 12; at++) {
		struct work w;

		work_begin(&w, SUPPORT_BUDGET_MS);
		spool_faults =
			(struct spool_faults){.fault = SPOOL_FAULT_ERROR, .at = at, .error = EIO};
		if (!vault_spool_take_over(&w, spool_keyring, spool_state_dir, &taken))
			vault_spool_close(taken);
		spool_faults.calls = 0;
		if (!vault_spool_open(&w, spool_keyring, spool_state_dir, "h", 1, &none))
			vault_spool_close(none);
		work_end(&w);
	}
	spool_faults = (struct spool_faults){0};
	assert_int_equal(open_fds(&handed_on), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, spool_setup, spool_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_name_is_made_of_the_host),
		TEST(no_two_have_the_same_name),
		TEST(nobody_else_can_read_it),
		TEST(a_number_of_slots_has_its_limits),
		TEST(folders_that_are_none_are_refused),
		TEST(folders_of_others_are_refused),
		TEST(the_state_folder_may_be_a_link),
		TEST(what_is_no_spool_is_left_alone),
		TEST(looking_counts_who_is_held_by_nobody),
		TEST(who_lives_is_not_taken_over),
		TEST(leftovers_go_unless_they_are_being_made),
		TEST(who_lives_hinders_no_sweeper_and_no_maker),
		TEST(a_new_file_is_not_swept_away),
		TEST(a_file_that_another_was_faster_to_take_is_not_taken),
		TEST(nothing_stays_open_nor_is_handed_on),
	};

	return cmocka_run_group_tests_name("vault_spool_file", tests, NULL, NULL);
}
