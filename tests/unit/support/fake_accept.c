/* FastCGI's door without FastCGI. */
#include "fake_accept.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_BYTES ((size_t)4 * 1024 * 1024)

static char kept[KEPT_BYTES];
static size_t length, writes;
static int gone;

void fake_accept_begin(void)
{
	length = 0;
	writes = 0;
	gone = 0;
	kept[0] = '\0';
}

void fake_accept_leave(void)
{
	gone = 1;
}

size_t fake_accept_writes(void)
{
	return writes;
}

int web_accept_write(const void *bytes, size_t n)
{
	if (gone)
		return 0;
	assert_true(n < KEPT_BYTES - length);
	memcpy(kept + length, bytes, n);
	length += n;
	kept[length] = '\0';
	writes++;
	return 1;
}

void web_accept_finish(void)
{
}

void web_accept_abort(void)
{
}

static const char *end_of_head(void)
{
	const char *end = strstr(kept, "\r\n\r\n");

	if (!end)
		fail_msg("no head: %.200s", kept);
	return end + 4;
}

const char *fake_accept_head(void)
{
	static char head[32768];

	snprintf(head, sizeof(head), "%.*s", (int)(end_of_head() - kept), kept);
	return head;
}

const char *fake_accept_body(void)
{
	return end_of_head();
}

const char *fake_accept_header(const char *name)
{
	static char value[16384];
	const char *found = NULL;
	size_t n = strlen(name);

	for (const char *line = fake_accept_head(); *line; line = strstr(line, "\r\n") + 2)
		if (strncmp(line, name, n) == 0 && line[n] == ':' && line[n + 1] == ' ') {
			if (found)
				fail_msg("%s is there twice", name);
			found = line + n + 2;
			snprintf(value, sizeof(value), "%.*s", (int)strcspn(found, "\r"), found);
		}
	return found ? value : NULL;
}

int fake_accept_status(void)
{
	const char *status = fake_accept_header("Status");

	if (!status || strncmp(kept, "Status: ", 8) != 0)
		fail_msg("the head does not begin with its status: %.200s", kept);
	return atoi(status);
}
