/* The two clocks, read in one place. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_ms(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_monotonic_ms(void)
{
	return read_ms(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
	return read_ms(CLOCK_REALTIME);
}

const char *clock_text(int64_t wall_ms, char text[CLOCK_TEXT_BYTES])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm utc;
	size_t n;

	gmtime_r(&seconds, &utc);
	n = strftime(text, CLOCK_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text + n, CLOCK_TEXT_BYTES - n, ".%03dZ", (int)(wall_ms % 1000));
	return text;
}

int clock_read(const char *text, int64_t *wall_ms)
{
	struct tm utc = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &utc);
	int64_t ms = 0;

	if (end && *end == '.')
		for (int64_t unit = 100; *++end >= '0' && *end <= '9'; unit /= 10)
			ms += (*end - '0') * unit;
	if (!end || end[0] != 'Z' || end[1])
		return 0;
	*wall_ms = (int64_t)timegm(&utc) * 1000 + ms;
	return 1;
}
