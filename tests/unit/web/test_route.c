/* The route table: what there is, who may, and how a path finds its row. */
#include "ask.h"

#include <string.h>

#define A CUSTODY_ADMIN
#define AO (CUSTODY_ADMIN | CUSTODY_OPERATOR)
#define AOU (CUSTODY_ADMIN | CUSTODY_OPERATOR | CUSTODY_AUDITOR)
#define AS (CUSTODY_ADMIN | CUSTODY_SERVICE)

static void the_table_has_no_fault(void **state)
{
	(void)state;
	unit_same("fault", web_route_fault(), NULL);
}

/* Who may do what, and where HEAD works, is agreed with the outside. */
static void roles_and_heads_are_what_was_agreed(void **state)
{
	static const struct {
		const char *method, *pattern;
		unsigned callers;
		int head;
	} agreed[] = {
		{"GET", "/api/oauth/authorize/:clientId", AO, 0},
		{"GET", "/api/oauth/callback/:provider", WEB_BY_STATE, 0},
		{"POST", "/api/oauth/reauthorize/:clientId", A, 0},
		{"POST", "/api/zoho/emergency-reauth", A, 0},
		{"GET", "/api/zoho/emergency-reauth", A, 0},
		{"GET", "/divine/oauth/health", AOU, 1},
		{"GET", "/api/oauth/token/:clientId", AS | WEB_ASSUMED, 0},
		{"POST", "/api/oauth/token/:clientId/rejected", AS, 0},
		{"DELETE", "/api/oauth/token/:clientId", A, 0},
		{"POST", "/api/oauth/refresh/:clientId", AO, 0},
		{"GET", "/api/oauth/clients", A, 1},
		{"PUT", "/api/oauth/clients/:clientId", A, 0},
		{"GET", "/healthz", WEB_BY_MONITOR, 1},
		{"GET", "/readyz", WEB_BY_MONITOR, 1},
	};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(agreed); i++) {
		const struct web_route *route = web_routes;

		while (route->method && (strcmp(route->method, agreed[i].method) != 0 ||
						strcmp(route->pattern, agreed[i].pattern) != 0))
			route++;
		if (!route->method)
			fail_msg("%s %s is gone", agreed[i].method, agreed[i].pattern);
		if (route->callers != agreed[i].callers || route->head != agreed[i].head)
			fail_msg("%s %s: callers %x, head %d", route->method, route->pattern,
				route->callers, route->head);
	}
}

/* The path's values are taken in the order of the fields. */
static void every_name_in_a_pattern_is_a_required_field(void **state)
{
	(void)state;
	for (const struct web_route *route = web_routes; route->method; route++) {
		const struct web_field *field = route->fields;

		for (const char *at = strchr(route->pattern, ':'); at; at = strchr(at + 1, ':')) {
			size_t n = strcspn(at + 1, "/");

			while (field->name && field->place != WEB_IN_PATH)
				field++;
			if (!field->name || strlen(field->name) != n ||
				strncmp(field->name, at + 1, n) != 0 || !field->required)
				fail_msg("%s: %s", route->pattern, at);
			field++;
		}
		for (; field->name; field++)
			if (field->place == WEB_IN_PATH)
				fail_msg("%s has no :%s", route->pattern, field->name);
	}
}

static void reading_never_takes_a_body_and_only_the_callback_any_query(void **state)
{
	(void)state;
	for (const struct web_route *route = web_routes; route->method; route++) {
		int reads = strcmp(route->method, "GET") == 0;

		assert_true(reads || !route->head);
		assert_int_equal(route->any_query, route->callers == (unsigned)WEB_BY_STATE);
		for (const struct web_field *field = route->fields; field->name; field++)
			if (reads && field->place == WEB_IN_BODY)
				fail_msg("%s takes %s in a body", route->pattern, field->name);
	}
}

static void paths_find_their_row(void **state)
{
	static const struct {
		const char *method, *uri, *pattern, *segment;
	} cases[] = {
		{"GET", "/healthz", "/healthz", NULL},
		{"HEAD", "/healthz", "/healthz", NULL},
		{"GET", "/healthz?a/b", "/healthz", NULL},
		{"GET", "/api/oauth/clients", "/api/oauth/clients", NULL},
		{"PUT", "/api/oauth/clients/acme", "/api/oauth/clients/:clientId", "acme"},
		{"PUT", "/api/oauth/clients/a%2Dc", "/api/oauth/clients/:clientId", "a-c"},
		{"PUT", "/api/oauth/clients/a%2Fb", "/api/oauth/clients/:clientId", "a/b"},
		{"PUT", "/api/oauth/clients/a%zz", "/api/oauth/clients/:clientId", "+"},
		{"PUT", "/api/oauth/clients/a%00", "/api/oauth/clients/:clientId", "+"},
		{"PUT", "/api/oauth/clients/a+b", "/api/oauth/clients/:clientId", "+"},
		{"PUT", "/api/oauth/clients/:clientId", "/api/oauth/clients/:clientId",
			":clientId"},
		{"POST", "/api/zoho/emergency-reauth?x", "/api/zoho/emergency-reauth", NULL},
		{"GET", "/api/oauth/token/rejected", "/api/oauth/token/:clientId", "rejected"},
		{"POST", "/api/oauth/token/acme/rejected", "/api/oauth/token/:clientId/rejected",
			"acme"},
	};

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		struct web_request r = ask(*state, cases[i].method, cases[i].uri);
		const char *allow;

		if (ask_match(&r, &allow))
			fail_msg("%s %s is not found", cases[i].method, cases[i].uri);
		unit_same(cases[i].uri, r.route->pattern, cases[i].pattern);
		unit_same(cases[i].uri, r.segments[0], cases[i].segment);
		unit_same(cases[i].uri, allow, NULL);
		assert_int_equal(r.head, cases[i].method[0] == 'H');
		if (!r.head)
			unit_same(cases[i].uri, r.route->method, cases[i].method);
	}
}

static void other_paths_find_nothing(void **state)
{
	static const char *const uris[] = {"", "/", "//", "healthz", "/healthz/", "/healthz/x",
		"//healthz", "/HEALTHZ", "/health", "/healthzz", "/h%65althz",
		"/api/oauth/clients/", "/api/oauth/clients/a/b", "/api/oauth/token",
		"/api/oauth/token/", "/api/oauth/token/acme/accepted", "/api//oauth/clients",
		"/api/oauth/../oauth/clients", "/api/oauth/:clientId", "?/healthz",
		"http://h/healthz", "/healthz;x=1", "/api/oauth/callback//"};

	for (size_t i = 0; i < UNIT_COUNT(uris); i++) {
		struct web_request r = ask(*state, "GET", uris[i]);
		const char *allow;

		if (ask_match(&r, &allow) != ERR_ROUTE || allow || r.route)
			fail_msg("GET %s is found", uris[i]);
	}
}

static void other_methods_are_told_which_there_are(void **state)
{
	static const struct {
		const char *method, *uri, *allow;
	} cases[] = {
		{"DELETE", "/healthz", "GET, HEAD"},
		{"get", "/healthz", "GET, HEAD"},
		{"GETX", "/healthz", "GET, HEAD"},
		{"DELETE", "/api/zoho/emergency-reauth", "POST, GET"},
		{"HEAD", "/api/zoho/emergency-reauth", "POST, GET"},
		{"HEAD", "/api/oauth/authorize/acme", "GET"},
		{"HEAD", "/api/oauth/token/acme", "GET, DELETE"},
		{"HEAD", "/api/oauth/callback/zoho_crm", "GET"},
		{"POST", "/api/oauth/clients", "GET, HEAD"},
		{"GET", "/api/oauth/clients/acme", "PUT"},
		{"GET", "/api/oauth/reauthorize/acme", "POST"},
		{"POST", "/api/oauth/token/acme", "GET, DELETE"},
		{"GET", "/api/oauth/token/acme/rejected", "POST"},
		{"GET", "/api/oauth/refresh/acme", "POST"},
	};

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		struct web_request r = ask(*state, cases[i].method, cases[i].uri);
		const char *allow;

		if (ask_match(&r, &allow) != ERR_METHOD || r.route)
			fail_msg("%s %s is taken", cases[i].method, cases[i].uri);
		unit_same(cases[i].uri, allow, cases[i].allow);
	}
}

/* One row of a path does not take the method, a later one does: then nothing is to be told. */
static void a_path_of_several_methods_allows_nothing_once_it_is_found(void **state)
{
	static const char *const methods[] = {"GET", "POST"};

	for (size_t i = 0; i < UNIT_COUNT(methods); i++) {
		struct web_request r = ask(*state, methods[i], "/api/zoho/emergency-reauth");
		const char *allow = "left from before";

		assert_int_equal(web_request_begin(&r), ERR_OK);
		assert_int_equal(web_route_match(&r, &allow), ERR_OK);
		unit_same(methods[i], r.route->method, methods[i]);
		unit_same(methods[i], allow, NULL);
	}
}

static void a_request_without_method_or_address_is_none(void **state)
{
	struct web_request r = ask(*state, NULL, "/healthz");
	const char *allow;

	assert_int_equal(ask_match(&r, &allow), ERR_INPUT);
	r = ask(*state, "GET", NULL);
	assert_int_equal(ask_match(&r, &allow), ERR_ROUTE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVICE_TEST(the_table_has_no_fault),
		SERVICE_TEST(roles_and_heads_are_what_was_agreed),
		SERVICE_TEST(every_name_in_a_pattern_is_a_required_field),
		SERVICE_TEST(reading_never_takes_a_body_and_only_the_callback_any_query),
		SERVICE_TEST(paths_find_their_row),
		SERVICE_TEST(other_paths_find_nothing),
		SERVICE_TEST(other_methods_are_told_which_there_are),
		SERVICE_TEST(a_path_of_several_methods_allows_nothing_once_it_is_found),
		SERVICE_TEST(a_request_without_method_or_address_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
