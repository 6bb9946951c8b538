/* The values of the command line. */
#include "../support/unit.h"

#include "ctl/value.h"

#include <inttypes.h>
#include <string.h>

#define HUNDRED                                                                                    \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"                                       \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void networks(void **state)
{
	static const char *const good[] = {"10.0.0.0/8", "0.0.0.0/0", "192.0.2.1", "192.0.2.1/32",
		"192.0.2.128/25", "::/0", "::1", "2001:db8::/32", "2001:db8:8000::/33",
		"::ffff:192.0.2.1/128"};
	static const struct {
		const char *text, *said;
	} bad[] = {
		{"", "is not an address"},
		{"10", "is not an address"},
		{"10.0.0/8", "is not an address"},
		{"010.0.0.1", "is not an address"},
		{"example.org", "is not an address"},
		{"fe80::1%eth0", "is not an address"},
		{" 10.0.0.0/8", "is not an address"},
		{HUNDRED, "is not an address"},
		{"/8", "is not an address"},
		{"10.0.0.0/", "from 0 to 32"},
		{"10.0.0.0/33", "from 0 to 32"},
		{"10.0.0.0/-1", "from 0 to 32"},
		{"10.0.0.0/-0", "from 0 to 32"},
		{"10.0.0.0/8/8", "from 0 to 32"},
		{"10.0.0.0/8 ", "from 0 to 32"},
		{"::/129", "from 0 to 128"},
		{"10.0.0.1/8", "bits behind"},
		{"192.0.2.128/24", "bits behind"},
		{"1.0.0.0/0", "bits behind"},
		{"2001:db8:8000::/32", "bits behind"},
		{"::1/127", "bits behind"},
	};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(good); i++)
		unit_same(good[i], ctl_value_network_fault(good[i]), NULL);
	for (size_t i = 0; i < UNIT_COUNT(bad); i++)
		unit_holds(bad[i].text, ctl_value_network_fault(bad[i].text), bad[i].said);
}

static void moments(void **state)
{
	static const struct {
		const char *text;
		int64_t at_s;
	} good[] = {
		{"1970-01-01", 0},
		{"2030-12-31", 1924905600},
		{"2028-02-29", 1835395200},
		{"2030-12-31T12:00:00Z", 1924948800},
		{"2030-12-31T12:00:00.5Z", 1924948800},
		{"2030-12-31T12:00:00.123456789Z", 1924948800},
		{"2030-12-31T12:00:00+02:00", 1924941600},
		{"2030-12-31T12:00:00-01:30", 1924954200},
	};
	static const char *const bad[] = {"", "2030", "2030-12", "2030-13-01", "2030-00-01",
		"2030-12-00", "2030-02-29", "2030-04-31", "2030-1-1", "30-01-01", "1969-12-31",
		"2030-12-31T", "2030-12-31Z", "2030-12-31T12:00Z", "2030-12-31T12:00:00",
		"2030-12-31 12:00:00Z", "2030-12-31T24:00:00Z", "2030-12-31T12:60:00Z",
		"2030-12-31T12:00:60Z", "2030-12-31T12:00:00.Z", "2030-12-31T12:00:00.1234567890Z",
		"2030-12-31T12:00:00+2:00", "2030-12-31T12:00:00+24:00", "2030-12-31T12:00:00Zx",
		"2030-12-31x", "+030-12-31", " 2030-12-31", "tomorrow", "infinity", "now"};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(good); i++) {
		int64_t at_s = -1;

		unit_same(good[i].text, ctl_value_time_fault(good[i].text, &at_s), NULL);
		if (at_s != good[i].at_s)
			fail_msg("%s is %" PRId64, good[i].text, at_s);
	}
	for (size_t i = 0; i < UNIT_COUNT(bad); i++) {
		int64_t at_s;

		unit_holds(bad[i], ctl_value_time_fault(bad[i], &at_s), "is not a date");
	}
}

static void days(void **state)
{
	int64_t at_s = -1;

	(void)state;
	unit_same("a day", ctl_value_day_fault("2030-12-31", &at_s), NULL);
	assert_int_equal(at_s, 1924905600);
	unit_holds("a time", ctl_value_day_fault("2030-12-31T12:00:00Z", &at_s), "is not a date");
	unit_holds("no day", ctl_value_day_fault("2030-02-30", &at_s), "is not a date");
}

static void redirect_uris(void **state)
{
	static const char *const good[] = {"https://vestal.example.org/api/oauth/callback/zoho_crm",
		"http://localhost:8080/x", "http://127.0.0.1/x", "http://[::1]:8080/x"};
	static const char *const bad[] = {"http://vestal.example.org/x", "/api/oauth/callback/x",
		"vestal.example.org/x", "ftp://localhost/x", "https://vestal.example.org/x#y",
		"https://user@vestal.example.org/x", "http://localhost.example.org/x", ""};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(good); i++)
		unit_same(good[i], ctl_value_redirect_uri_fault(good[i]), NULL);
	for (size_t i = 0; i < UNIT_COUNT(bad); i++)
		if (!ctl_value_redirect_uri_fault(bad[i]))
			fail_msg("%s is taken", bad[i]);
}

static void names_are_counted_in_characters(void **state)
{
	char name[401];

	(void)state;
	for (size_t i = 0; i < 200; i++)
		memcpy(name + 2 * i, "\xc3\xbc", 2);
	name[400] = '\0';
	unit_same("200 of two bytes", ctl_value_name_fault(name), NULL);
	unit_same("200", ctl_value_name_fault(HUNDRED HUNDRED), NULL);
	unit_holds("201", ctl_value_name_fault(HUNDRED HUNDRED "a"), "longer than 200");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST(networks),
		UNIT_TEST(moments),
		UNIT_TEST(days),
		UNIT_TEST(redirect_uris),
		UNIT_TEST(names_are_counted_in_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
