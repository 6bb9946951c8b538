/* Whole files: the order of fsync and rename is watched, and made to fail. */
#include "../support/unit.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEEP_GID ((gid_t)-1)

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat(int old_dir, const char *old_name, int new_dir, const char *new_name);
int __wrap_renameat(int old_dir, const char *old_name, int new_dir, const char *new_name);
ssize_t __real_write(int fd, const void *bytes, size_t n);
ssize_t __wrap_write(int fd, const void *bytes, size_t n);

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
