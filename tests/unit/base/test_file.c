/* Whole files: the order of fsync and rename is watched, and made to fail. */
#include "../support/unit.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/aio_abi.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEEP_GID ((gid_t)-1)

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat(int old_dir, const char *old_name, int new_dir, const char *new_name);
int __wrap_renameat(int old_dir, const char *old_name, int new_dir, const char *new_name);
ssize_t __real_write(int fd, const void *bytes, size_t n);
ssize_t __wrap_write(int fd, const void *bytes, size_t n);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

static char steps[64];
static char failing; /* the step that fails: w, f (file), r, d (directory) */
static char *path;
static int dir;

static int step(char which)
{
	size_t n = strlen(steps);

	if (n + 1 < sizeof(steps) && (!n || steps[n - 1] != which)) {
		steps[n] = which;
		steps[n + 1] = '\0';
	}
	errno = which == 'w' ? ENOSPC : EIO;
	return which == failing;
}

int __wrap_fsync(int fd)
{
	struct stat info;

	assert_int_equal(fstat(fd, &info), 0);
	return step(S_ISDIR(info.st_mode) ? 'd' : 'f') ? -1 : __real_fsync(fd);
}

int __wrap_renameat(int old_dir, const char *old_name, int new_dir, const char *new_name)
{
	return step('r') ? -1 : __real_renameat(old_dir, old_name, new_dir, new_name);
}

/* A disk takes less than it is given, and signals come in between. */
ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
	static int interrupted;

	if (fd <= STDERR_FILENO)
		return __real_write(fd, bytes, n);
	if (step('w'))
		return -1;
	interrupted = !interrupted;
	errno = EINTR;
	return interrupted ? -1 : __real_write(fd, bytes, n > 100 ? 100 : n);
}

/* --- the kernel's queue ----------------------------------------------------------------------- */

static int no_queue;                   /* io_setup() is refused */
static long queue_takes = LONG_MAX;    /* io_submit() takes no more at once, and then none */
static int spoilt = -1, interruptions; /* what fails in the queue; waits that are interrupted */
static size_t queued;                  /* how many went through it */

static long submit(long queue, long n, struct iocb **list)
{
	long taken = n < queue_takes ? n : queue_takes;
	struct stat info;

	queue_takes -= taken;
	if (taken == 0) {
		errno = EAGAIN;
		return -1;
	}
	for (long i = 0; i < taken; i++) {
		assert_int_equal(fstat((int)list[i]->aio_fildes, &info), 0);
		step(S_ISDIR(info.st_mode) ? 'd' : 'f');
	}
	queued += (size_t)taken;
	return __real_syscall(SYS_io_submit, queue, taken, list);
}

static long get_events(long queue, long least, long most, struct io_event *events)
{
	long n;

	if (interruptions > 0) {
		interruptions--;
		errno = EINTR;
		return -1;
	}
	n = __real_syscall(SYS_io_getevents, queue, least, most, events, NULL);
	for (long i = 0; i < n; i++)
		if ((int)events[i].data == spoilt)
			events[i].res = -EIO;
	return n;
}

long __wrap_syscall(long number, ...)
{
	va_list args;
	long a[4];

	va_start(args, number);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_io_setup && no_queue) {
		errno = ENOSYS;
		return -1;
	}
	if (number == SYS_io_submit)
		return submit(a[0], a[1], (struct iocb **)a[2]);
	if (number == SYS_io_getevents)
		return get_events(a[0], a[1], a[2], (struct io_event *)a[3]);
	return __real_syscall(number, a[0], a[1], a[2], a[3]);
}

/* --- one file --------------------------------------------------------------------------------- */

static enum err put(struct work *w, const char *name, const char *text)
{
	steps[0] = '\0';
	return file_replace(w, dir, name, text, strlen(text), 0640, KEEP_GID);
}

static void expect(struct work *w, const char *name, const char *text)
{
	char *bytes = NULL;
	size_t n = 0;

	assert_int_equal(file_read(w, dir, name, 4096, &bytes, &n), ERR_OK);
	assert_int_equal(n, strlen(text));
	assert_string_equal(bytes, text);
}

/* How many files there are. */
static int count(void)
{
	DIR *list = opendir(path);
	int n = -2;

	assert_non_null(list);
	while (readdir(list))
		n++;
	closedir(list);
	return n;
}

static void a_file_is_durable_before_it_has_its_name(void **state)
{
	assert_int_equal(put(*state, "a", "one"), ERR_OK);
	assert_string_equal(steps, "wfrd");
	expect(*state, "a", "one");
	assert_int_equal(put(*state, "a", "second, longer"), ERR_OK);
	expect(*state, "a", "second, longer");
	assert_int_equal(put(*state, "a", ""), ERR_OK);
	expect(*state, "a", "");
	assert_int_equal(count(), 1);
}

static void long_files_are_written_whole(void **state)
{
	char text[3001];

	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = (char)('a' + i % 26);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(put(*state, "a", text), ERR_OK);
	expect(*state, "a", text);
}

static void a_failure_leaves_the_old_file_and_nothing_else(void **state)
{
	static const char each[] = "wfr";

	assert_int_equal(put(*state, "a", "old"), ERR_OK);
	for (const char *which = each; *which; which++) {
		failing = *which;
		assert_int_equal(put(*state, "a", "new"), ERR_IO);
		failing = 0;
		expect(*state, "a", "old");
		assert_int_equal(count(), 1);
	}
	assert_non_null(((struct work *)*state)->cause);
	failing = 'd';
	assert_int_equal(put(*state, "a", "new"), ERR_IO);
	failing = 0;
	assert_int_equal(count(), 1);
}

static void the_mode_does_not_depend_on_the_umask(void **state)
{
	mode_t before = umask(0077);
	struct stat info;

	assert_int_equal(put(*state, "a", "x"), ERR_OK);
	assert_int_equal(fstatat(dir, "a", &info, 0), 0);
	assert_int_equal(info.st_mode & 07777, 0640);
	umask(0);
	assert_int_equal(file_replace(*state, dir, "a", "x", 1, 0600, getgid()), ERR_OK);
	assert_int_equal(fstatat(dir, "a", &info, 0), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
	umask(before);
}

static void what_a_kill_left_is_overwritten_and_a_trap_is_not_followed(void **state)
{
	assert_int_equal(put(*state, "victim", "safe"), ERR_OK);
	assert_int_equal(symlinkat("victim", dir, ".a.tmp"), 0);
	assert_int_equal(put(*state, "a", "x"), ERR_OK);
	expect(*state, "a", "x");
	expect(*state, "victim", "safe");
	assert_int_equal(count(), 2);
	/* one name a file, whoever was killed */
	for (int i = 0; i < 3; i++) {
		int fd = openat(dir, ".a.tmp", O_WRONLY | O_CREAT | O_EXCL, 0600);

		assert_true(fd >= 0);
		assert_int_equal(close(fd), 0);
		assert_int_equal(put(*state, "a", i % 2 ? "x" : "xx"), ERR_OK);
		expect(*state, "a", i % 2 ? "x" : "xx");
		assert_int_equal(count(), 2);
	}
	/* a link in the file's own place is replaced, not written through */
	assert_int_equal(symlinkat("victim", dir, "b"), 0);
	assert_int_equal(put(*state, "b", "y"), ERR_OK);
	expect(*state, "b", "y");
	expect(*state, "victim", "safe");
}

static void only_regular_files_of_the_allowed_length_are_read(void **state)
{
	char *bytes = NULL;
	size_t n = 77;

	assert_int_equal(put(*state, "a", "1234"), ERR_OK);
	assert_int_equal(file_read(*state, dir, "a", 4, &bytes, &n), ERR_OK);
	assert_int_equal(n, 4);
	assert_memory_equal(bytes, "1234\0", 5);
	assert_int_equal(file_read(*state, dir, "a", 3, &bytes, &n), ERR_IO);
	assert_int_equal(file_read(*state, dir, "none", 4, &bytes, &n), ERR_NOT_FOUND);
	assert_int_equal(symlinkat("a", dir, "link"), 0);
	assert_int_equal(file_read(*state, dir, "link", 4, &bytes, &n), ERR_IO);
	assert_int_equal(mkdirat(dir, "folder", 0700), 0);
	assert_int_equal(file_read(*state, dir, "folder", 4, &bytes, &n), ERR_IO);
	assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
	assert_int_equal(file_read(*state, dir, "fifo", 4, &bytes, &n), ERR_IO);
}

static void removing_is_durable_and_may_find_nothing(void **state)
{
	assert_int_equal(put(*state, "a", "x"), ERR_OK);
	steps[0] = '\0';
	assert_int_equal(file_remove(*state, dir, "a"), ERR_OK);
	assert_string_equal(steps, "d");
	assert_int_equal(count(), 0);
	assert_int_equal(file_remove(*state, dir, "a"), ERR_OK);
	assert_int_equal(mkdirat(dir, "folder", 0700), 0);
	assert_int_equal(file_remove(*state, dir, "folder"), ERR_IO);
}

static void removing_takes_what_a_kill_left_with_it(void **state)
{
	assert_int_equal(put(*state, "a", "x"), ERR_OK);
	assert_int_equal(put(*state, ".a.tmp", "half"), ERR_OK);
	assert_int_equal(put(*state, ".ab.tmp", "another's"), ERR_OK);
	steps[0] = '\0';
	assert_int_equal(file_remove(*state, dir, "a"), ERR_OK);
	assert_string_equal(steps, "d");
	assert_int_equal(count(), 1);
	expect(*state, ".ab.tmp", "another's");
	/* and where there is nothing else */
	assert_int_equal(put(*state, ".a.tmp", "half"), ERR_OK);
	assert_int_equal(file_remove(*state, dir, "a"), ERR_OK);
	assert_int_equal(count(), 1);
	/* a link is removed, not followed */
	assert_int_equal(symlinkat(".ab.tmp", dir, ".a.tmp"), 0);
	assert_int_equal(file_remove(*state, dir, "a"), ERR_OK);
	assert_int_equal(count(), 1);
	expect(*state, ".ab.tmp", "another's");
}

static void folders_are_made_and_links_to_them_are_not_followed(void **state)
{
	struct work w;
	int fd = -1, again = -1;

	assert_int_equal(file_open_dir(*state, dir, "new", 0, 0700, &fd), ERR_IO);
	work_begin(&w, 1000);
	steps[0] = '\0';
	assert_int_equal(file_open_dir(&w, dir, "new", 1, 0700, &fd), ERR_OK);
	assert_string_equal(steps, "d");
	assert_int_equal(file_open_dir(&w, dir, "new", 1, 0700, &again), ERR_OK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	work_end(&w);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* the work closed it */
	assert_int_equal(symlinkat("new", dir, "link"), 0);
	assert_int_equal(file_open_dir(*state, dir, "link", 1, 0700, &fd), ERR_IO);
	assert_int_equal(put(*state, "file", "x"), ERR_OK);
	assert_int_equal(file_open_dir(*state, dir, "file", 1, 0700, &fd), ERR_IO);
}

/* --- many files ------------------------------------------------------------------------------- */

static struct file_outcome outcomes[FILE_BATCH_MAX];

static const char *name_of(struct work *w, int which)
{
	return work_printf(w, "file%d", which);
}

/* Puts n files into one batch and finishes it. */
static void put_many(struct work *w, int n, const char *text)
{
	struct file_batch *batch = file_batch_new(w);

	memset(outcomes, 0x5a, sizeof(outcomes));
	steps[0] = '\0';
	queued = 0;
	for (int i = 0; i < n; i++)
		assert_int_equal(file_batch_add(w, batch, dir, name_of(w, i), text, strlen(text),
					 0640, KEEP_GID, &outcomes[i]),
			ERR_OK);
	assert_int_equal(file_batch_count(batch), n);
	file_batch_finish(batch);
	assert_int_equal(file_batch_count(batch), 0);
}

static void many_are_durable_before_one_has_its_name(void **state)
{
	put_many(*state, 3, "one");
	assert_string_equal(steps, "wfrd");
	put_many(*state, FILE_BATCH_MAX, "second");
	assert_string_equal(steps, "wfrd");
	assert_int_equal(queued, FILE_BATCH_MAX); /* the directory is one, and needs no queue */
	for (int i = 0; i < FILE_BATCH_MAX; i++) {
		assert_int_equal(outcomes[i].err, ERR_OK);
		expect(*state, name_of(*state, i), "second");
	}
	assert_int_equal(count(), FILE_BATCH_MAX);
	put_many(*state, 0, "");
	assert_string_equal(steps, "");
}

static void one_of_many_fails_alone(void **state)
{
	put_many(*state, 5, "old");
	interruptions = 2;
	spoilt = 2;
	put_many(*state, 5, "new");
	spoilt = -1;
	assert_int_equal(interruptions, 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(outcomes[i].err, i == 2 ? ERR_IO : ERR_OK);
		expect(*state, name_of(*state, i), i == 2 ? "old" : "new");
	}
	assert_string_equal(outcomes[2].cause, "fsync: EIO");
	assert_int_equal(count(), 5);
	failing = 'r';
	put_many(*state, 5, "newer");
	failing = 0;
	for (int i = 0; i < 5; i++)
		assert_string_equal(outcomes[i].cause, "rename: EIO");
	assert_int_equal(count(), 5);
	failing = 'd';
	put_many(*state, 5, "newest");
	failing = 0;
	for (int i = 0; i < 5; i++)
		assert_int_equal(outcomes[i].err, ERR_IO);
	assert_int_equal(count(), 5);
}

static void each_directory_answers_for_its_own(void **state)
{
	struct file_batch *batch;
	int other = -1;

	assert_int_equal(file_open_dir(*state, dir, "other", 1, 0700, &other), ERR_OK);
	batch = file_batch_new(*state);
	for (int i = 0; i < 4; i++)
		assert_int_equal(file_batch_add(*state, batch, i < 2 ? dir : other,
					 name_of(*state, i), "x", 1, 0600, KEEP_GID, &outcomes[i]),
			ERR_OK);
	queued = 0;
	queue_takes = 4; /* the files; the directories are flushed one by one, the first in vain */
	failing = 'd';
	file_batch_finish(batch);
	failing = 0;
	queue_takes = LONG_MAX;
	assert_int_equal(queued, 4);
	for (int i = 0; i < 4; i++)
		assert_string_equal(outcomes[i].cause, "fsync: EIO");
	batch = file_batch_new(*state);
	for (int i = 0; i < 4; i++)
		assert_int_equal(file_batch_add(*state, batch, i < 2 ? dir : other,
					 name_of(*state, i), "x", 1, 0600, KEEP_GID, &outcomes[i]),
			ERR_OK);
	file_batch_finish(batch);
	for (int i = 0; i < 4; i++)
		assert_int_equal(outcomes[i].err, ERR_OK);
	assert_int_equal(queued, 4 + 4 + 2);
	expect(*state, "file1", "x");
	expect(*state, "other/file2", "x");
}

/* What the queue does not take is flushed all the same. */
static void a_full_queue_is_no_fault(void **state)
{
	queue_takes = 3;
	put_many(*state, 8, "x");
	queue_takes = LONG_MAX;
	assert_string_equal(steps, "wfrd");
	assert_int_equal(queued, 3);
	for (int i = 0; i < 8; i++)
		assert_int_equal(outcomes[i].err, ERR_OK);
	queue_takes = 3;
	failing = 'f'; /* only what is flushed one by one */
	put_many(*state, 8, "y");
	failing = 0;
	queue_takes = LONG_MAX;
	for (int i = 0; i < 8; i++)
		assert_int_equal(outcomes[i].err, i < 3 ? ERR_OK : ERR_IO);
	assert_int_equal(count(), 8);
}

/* A child has no queue of its parent's, and a kernel may have none at all. */
static void without_a_queue_all_is_done_one_by_one(void **state)
{
	put_many(*state, 3, "parent");
	for (no_queue = 0; no_queue < 2; no_queue++) {
		pid_t pid = fork();
		int status = 1;

		assert_true(pid >= 0);
		if (pid == 0) {
			put_many(*state, 5, "child");
			_exit(queued != (no_queue ? 0 : 5) || strcmp(steps, "wfrd") != 0 ||
				outcomes[4].err);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		expect(*state, "file4", "child");
	}
	no_queue = 0;
}

static void what_is_not_finished_is_taken_back(void **state)
{
	struct file_batch *batch;
	struct work w;

	assert_int_equal(put(*state, "file0", "old"), ERR_OK);
	work_begin(&w, 1000);
	batch = file_batch_new(&w);
	for (int i = 0; i < 2; i++)
		assert_int_equal(file_batch_add(*state, batch, dir, name_of(*state, i), "new", 3,
					 0600, KEEP_GID, &outcomes[i]),
			ERR_OK);
	assert_int_equal(count(), 3);
	expect(*state, "file0", "old");
	assert_int_equal(outcomes[0].err, ERR_IO); /* not yet */
	work_end(&w);
	assert_int_equal(count(), 1);
	expect(*state, "file0", "old");
}

static void what_cannot_be_added_is_not_in_the_batch(void **state)
{
	struct file_batch *batch = file_batch_new(*state);

	failing = 'w';
	assert_int_equal(
		file_batch_add(*state, batch, dir, "a", "x", 1, 0600, KEEP_GID, outcomes), ERR_IO);
	failing = 0;
	assert_int_equal(file_batch_count(batch), 0);
	assert_int_equal(count(), 0);
	for (int i = 0; i < FILE_BATCH_MAX; i++)
		assert_int_equal(file_batch_add(*state, batch, dir, name_of(*state, i), "x", 1,
					 0600, KEEP_GID, &outcomes[i]),
			ERR_OK);
	assert_int_equal(
		file_batch_add(*state, batch, dir, "b", "x", 1, 0600, KEEP_GID, outcomes), ERR_BUG);
	file_batch_finish(batch);
	assert_int_equal(count(), FILE_BATCH_MAX);
}

static int setup(void **state)
{
	path = unit_dir();
	dir = open(path, O_RDONLY | O_DIRECTORY);
	return dir < 0 ? -1 : unit_begin(state);
}

static int teardown(void **state)
{
	close(dir);
	unit_dir_remove(path);
	return unit_end(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_is_durable_before_it_has_its_name),
		TEST(long_files_are_written_whole),
		TEST(a_failure_leaves_the_old_file_and_nothing_else),
		TEST(the_mode_does_not_depend_on_the_umask),
		TEST(what_a_kill_left_is_overwritten_and_a_trap_is_not_followed),
		TEST(only_regular_files_of_the_allowed_length_are_read),
		TEST(removing_is_durable_and_may_find_nothing),
		TEST(removing_takes_what_a_kill_left_with_it),
		TEST(folders_are_made_and_links_to_them_are_not_followed),
		TEST(many_are_durable_before_one_has_its_name),
		TEST(one_of_many_fails_alone),
		TEST(each_directory_answers_for_its_own),
		TEST(a_full_queue_is_no_fault),
		TEST(without_a_queue_all_is_done_one_by_one),
		TEST(what_is_not_finished_is_taken_back),
		TEST(what_cannot_be_added_is_not_in_the_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
