/* Standard output, caught. */
#include "captured.h"

#include "../support/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CAPTURED_MAX_BYTES ((size_t)8 * 1024 * 1024)

static int kept = -1;
static FILE *file;

void captured_begin(const char *path)
{
	int fd;

	fflush(stdout);
	file = path ? fopen(path, "w") : tmpfile();
	assert_non_null(file);
	fd = fileno(file);
	kept = dup(STDOUT_FILENO);
	assert_true(kept >= 0 && dup2(fd, STDOUT_FILENO) >= 0);
}

char *captured_end(struct work *w)
{
	char *text = work_alloc(w, CAPTURED_MAX_BYTES);
	ssize_t n;

	fflush(stdout);
	assert_true(dup2(kept, STDOUT_FILENO) >= 0);
	close(kept);
	n = pread(fileno(file), text, CAPTURED_MAX_BYTES - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	fclose(file);
	return text;
}
