/* The values of the command line. It decides what they look like; whether what they name is there,
 * the commands find out. */
#include "ctl/value.h"

#include "base/text.h"
#include "oauth/url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NAME_MAX_CHARS 200

/* Whether all bits behind the first `prefix` of n bytes are 0. */
static int is_network(const unsigned char *bytes, size_t n, int64_t prefix)
{
	for (size_t i = 0; i < n; i++) {
		int64_t kept = prefix - (int64_t)i * 8;
		unsigned mask = kept >= 8 ? 0 : kept <= 0 ? 0xff : 0xffU >> kept;

		if (bytes[i] & mask)
			return 0;
	}
	return 1;
}

const char *ctl_value_network_fault(const char *text)
{
	static const char no_address[] = "is not an address or network";
	const char *slash = strchr(text, '/');
	char address[INET6_ADDRSTRLEN + 1];
	size_t n = slash ? (size_t)(slash - text) : strlen(text), bytes = 4;
	unsigned char parsed[16];
	int64_t prefix;

	if (n >= sizeof(address))
		return no_address;
	snprintf(address, sizeof(address), "%.*s", (int)n, text);
	if (inet_pton(AF_INET, address, parsed) != 1) {
		bytes = 16;
		if (inet_pton(AF_INET6, address, parsed) != 1)
			return no_address;
	}
	prefix = (int64_t)bytes * 8;
	if (slash && (!isdigit((unsigned char)slash[1]) ||
			     !text_to_int(slash + 1, 0, (int64_t)bytes * 8, &prefix)))
		return bytes == 4 ? "has a prefix that is not a number from 0 to 32"
				  : "has a prefix that is not a number from 0 to 128";
	return is_network(parsed, bytes, prefix) ? NULL : "has bits behind its prefix";
}

/* Reads n digits from least to most and goes behind them. */
static int read_digits(const char **at, int n, int least, int most, int *value)
{
	*value = 0;
	for (int i = 0; i < n; i++, (*at)++) {
		if (!isdigit((unsigned char)**at))
			return 0;
		*value = *value * 10 + (**at - '0');
	}
	return *value >= least && *value <= most;
}

static int read_char(const char **at, char c)
{
	if (**at != c)
		return 0;
	(*at)++;
	return 1;
}

static int read_day(const char **at, struct tm *tm, int64_t *at_s)
{
	int year, month;

	*tm = (struct tm){0};
	if (!read_digits(at, 4, 1970, 9999, &year) || !read_char(at, '-') ||
		!read_digits(at, 2, 1, 12, &month) || !read_char(at, '-') ||
		!read_digits(at, 2, 1, 31, &tm->tm_mday))
		return 0;
	tm->tm_year = year - 1900;
	tm->tm_mon = month - 1;
	*at_s = timegm(tm);
	return tm->tm_mon == month - 1; /* a day that the month does not have is one of the next */
}

const char *ctl_value_day_fault(const char *text, int64_t *at_s)
{
	struct tm tm;

	return read_day(&text, &tm, at_s) && !*text ? NULL : "is not a date like 2030-12-31";
}

static int read_offset(const char **at, int *seconds)
{
	int sign = **at == '-' ? -1 : 1, hours, minutes;

	*seconds = 0;
	if (read_char(at, 'Z'))
		return 1;
	if (!read_char(at, '+') && !read_char(at, '-'))
		return 0;
	if (!read_digits(at, 2, 0, 23, &hours) || !read_char(at, ':') ||
		!read_digits(at, 2, 0, 59, &minutes))
		return 0;
	*seconds = sign * (hours * 3600 + minutes * 60);
	return 1;
}

static int read_clock(const char **at, int64_t *at_s)
{
	int hour, minute, second, offset;

	if (!read_digits(at, 2, 0, 23, &hour) || !read_char(at, ':') ||
		!read_digits(at, 2, 0, 59, &minute) || !read_char(at, ':') ||
		!read_digits(at, 2, 0, 59, &second))
		return 0;
	if (read_char(at, '.')) {
		size_t digits = strspn(*at, "0123456789");

		if (digits < 1 || digits > 9)
			return 0;
		*at += digits;
	}
	if (!read_offset(at, &offset))
		return 0;
	*at_s += hour * 3600 + minute * 60 + second - offset;
	return 1;
}

const char *ctl_value_time_fault(const char *text, int64_t *at_s)
{
	struct tm tm;

	if (read_day(&text, &tm, at_s) &&
		(!*text || (read_char(&text, 'T') && read_clock(&text, at_s) && !*text)))
		return NULL;
	return "is not a date like 2030-12-31 or a time like 2030-12-31T12:00:00Z";
}

const char *ctl_value_redirect_uri_fault(const char *text)
{
	struct oauth_url url;
	const char *fault = oauth_url_read(text, &url);

	if (fault)
		return fault;
	return url.https || oauth_url_is_loopback(&url)
		       ? NULL
		       : "must be https; http is for this machine alone";
}

const char *ctl_value_name_fault(const char *text)
{
	size_t chars = 0;

	for (; *text; text++)
		chars += ((unsigned char)*text & 0xc0) != 0x80;
	return chars <= NAME_MAX_CHARS ? NULL : "is longer than 200 characters";
}
