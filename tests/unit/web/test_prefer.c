/* Page or JSON: what Accept asks for. Source: RFC 9110 sections 12.4.2 and 12.5.1. */
#include "ask.h"

#include <string.h>

#define BROWSER "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"

static void a_page_is_for_those_who_prefer_one(void **state)
{
	static const struct {
		const char *accept;
		int page, json;
	} cases[] = {
		{NULL, 0, 0},
		{"", 0, 0},
		{"*/*", 0, 0},
		{BROWSER, 1, 0},
		{"text/html", 1, 0},
		{"TEXT/HTML", 1, 0},
		{"application/json", 0, 1},
		{"Application/Json", 0, 1},
		{"text/html, application/json", 0, 1},
		{"application/json, text/html", 0, 1},
		{"text/html, application/json;q=0.9", 1, 0},
		{"text/html;q=0.5, application/json;q=0.6", 0, 1},
		{"text/html;q=0.500,application/json;q=0.499", 1, 0},
		{"application/json;q=0.1, */*", 0, 1},
		{"text/html;q=0.5, application/json;q=0.1, */*", 1, 0},
		{"text/html;q=0", 0, 0},
		{"text/html;q=0.000, */*", 0, 0},
		{"application/json;q=0", 0, 0},
		{"text/html;level=1;q=0.3, */*;q=0.5", 0, 0},
		{"text/html ; q=0.9 , */* ; q=0.1", 1, 0},
		{"text/html;Q=0.1, */*;q=0.5", 0, 0},
		{"text/html;xq=0", 1, 0},  /* another parameter */
		{"text/html;q=nan", 0, 0}, /* no weight at all: not wanted */
		{"text/html;q=1e300", 0, 0},
		{"text/html;q=inf", 0, 0},
		{"text/html;q=-1", 0, 0},
		{"text/html;q=0x1", 0, 0},
		{"text/html;q=", 0, 0},
		{"text/html;q=1.5, application/json", 0, 1}, /* beyond 1 is 1 at most */
		{"text/htmlx", 0, 0},
		{"xtext/html", 0, 0},
		{",,text/html,,", 1, 0},
		{"text/html\t", 1, 0},
	};

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		struct web_request r = ask(*state, "GET", "/healthz");
		int page, json;

		r.raw.accept = cases[i].accept;
		page = web_request_wants_page(&r);
		json = web_request_names_json(&r);
		if (page != cases[i].page || json != cases[i].json)
			fail_msg("%s: page %d, json %d", cases[i].accept, page, json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVICE_TEST(a_page_is_for_those_who_prefer_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
