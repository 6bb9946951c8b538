/* What every unit test begins with. */
#include "unit.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int unit_begin(void **state)
{
	struct work *w = calloc(1, sizeof(*w));

	if (!w)
		return -1;
	work_begin(w, 60000);
	*state = w;
	return 0;
}

int unit_end(void **state)
{
	work_end(*state);
	free(*state);
	return 0;
}

void unit_holds(const char *which, const char *text, const char *part)
{
	if (!text || !strstr(text, part))
		fail_msg("%s: \"%s\" is not in \"%s\"", which, part, text ? text : "(null)");
}

void unit_lacks(const char *which, const char *text, const char *part)
{
	if (text && strstr(text, part))
		fail_msg("%s: \"%s\" is in \"%s\"", which, part, text);
}

void unit_same(const char *which, const char *got, const char *wanted)
{
	if (got ? !wanted || strcmp(got, wanted) != 0 : wanted != NULL)
		fail_msg("%s: \"%s\" instead of \"%s\"", which, got ? got : "(null)",
			wanted ? wanted : "(null)");
}

int unit_aborts(void (*act)(void *context), void *context)
{
	pid_t child = fork();
	int status = 0;

	assert_true(child >= 0);
	if (child == 0) {
		int null = open("/dev/null", O_WRONLY);

		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		signal(SIGABRT, SIG_DFL);
		dup2(null, STDERR_FILENO);
		dup2(null, STDOUT_FILENO);
		act(context);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

char *unit_dir(void)
{
	const char *tmp = getenv("TMPDIR");
	char *dir = NULL;

	assert_true(asprintf(&dir, "%s/vestal-unit-XXXXXX", tmp ? tmp : "/tmp") > 0);
	assert_non_null(mkdtemp(dir));
	return dir;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *at)
{
	(void)info;
	(void)type;
	(void)at;
	return remove(path);
}

void unit_dir_remove(char *dir)
{
	assert_int_equal(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	free(dir);
}

const char *unit_source(struct work *w, const char *path)
{
	const char *srcdir = getenv("srcdir");

	return work_printf(w, "%s/%s", srcdir ? srcdir : ".", path);
}
