/* Log lines: one write each, strict JSON, and nothing a caller sends can make a second one. */
#include "../support/unit.h"

#include "base/jin.h"
#include "base/log.h"

#include <string.h>
#include <unistd.h>

ssize_t __real_write(int fd, const void *bytes, size_t n);
ssize_t __wrap_write(int fd, const void *bytes, size_t n);

static char line[8192];
static size_t writes;

ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
	if (fd != STDERR_FILENO)
		return __real_write(fd, bytes, n);
	assert_true(n < sizeof(line));
	memcpy(line, bytes, n);
	line[n] = '\0';
	writes++;
	return (ssize_t)n;
}

/* The one line that was written since the last call. */
static json_t *written(struct work *w)
{
	size_t n = strlen(line);
	json_t *json;

	assert_int_equal(writes, 1);
	writes = 0;
	assert_true(n > 0 && strchr(line, '\n') == line + n - 1);
	json = jin_parse(w, line, n - 1);
	assert_true(json_is_object(json));
	return json;
}

static const char *text(const json_t *json, const char *name)
{
	return json_string_value(json_object_get(json, name));
}

static void an_event_is_one_line_of_json(void **state)
{
	json_t *json;

	log_event(LOG_WARN, "store.failed", LOG_TEXT("store", "file"), LOG_INT("generation", -3),
		LOG_TEXT("absent", NULL), LOG_TEXT("after", "it"));
	json = written(*state);
	unit_same("event", text(json, "event"), "store.failed");
	unit_same("level", text(json, "level"), "warn");
	unit_same("program", text(json, "program"), "test-log");
	unit_same("store", text(json, "store"), "file");
	unit_same("after", text(json, "after"), "it");
	assert_int_equal(json_integer_value(json_object_get(json, "generation")), -3);
	assert_int_equal(json_integer_value(json_object_get(json, "pid")), getpid());
	assert_int_equal(strlen(text(json, "at")), strlen("2026-01-31T12:00:00.000Z"));
	assert_null(json_object_get(json, "absent"));
}

static void hostile_texts_stay_within_their_field(void **state)
{
	static const char *const hostile[] = {"a\nb", "\",\"level\":\"error",
		"\r\n{\"event\":\"x\"}", "\xff\xfe", "\x1b[2J", "\xe2\x80\xa8"};

	for (size_t i = 0; i < UNIT_COUNT(hostile); i++) {
		json_t *json;

		log_event(LOG_INFO, "request.done", LOG_TEXT("path", hostile[i]));
		assert_null(strpbrk(line, "\r\x1b"));
		json = written(*state);
		unit_same("level", text(json, "level"), "info");
		assert_int_equal(json_object_size(json), 6);
		assert_non_null(text(json, "path"));
	}
}

static void a_line_that_is_too_long_says_so(void **state)
{
	char huge[5000];
	json_t *json;

	memset(huge, 'x', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	log_event(LOG_ERROR, "database.away", LOG_TEXT("why", huge), LOG_INT("n", 1));
	json = written(*state);
	unit_same("event", text(json, "event"), "database.away");
	unit_same("level", text(json, "level"), "error");
	assert_null(text(json, "why"));
	assert_non_null(text(json, "dropped"));
}

static void less_than_the_level_is_dropped(void **state)
{
	log_init("test-log", LOG_WARN);
	log_event(LOG_INFO, "request.done", LOG_INT("status", 200));
	log_event(LOG_DEBUG, "request.done", LOG_INT("status", 200));
	assert_int_equal(writes, 0);
	log_event(LOG_WARN, "request.done", LOG_INT("status", 503));
	written(*state);
	log_init("test-log", LOG_DEBUG);
	log_event(LOG_DEBUG, "request.done", LOG_INT("status", 200));
	unit_same("level", text(written(*state), "level"), "debug");
}

static int setup(void **state)
{
	(void)state;
	log_init("test-log", LOG_INFO);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST(an_event_is_one_line_of_json),
		UNIT_TEST(hostile_texts_stay_within_their_field),
		UNIT_TEST(a_line_that_is_too_long_says_so),
		UNIT_TEST(less_than_the_level_is_dropped),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
