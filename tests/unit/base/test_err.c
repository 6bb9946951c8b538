/* The error table: what callers and programs rely on, and that no row breaks the house's form. */
#include "../support/unit.h"

#include "base/err.h"

#include <string.h>

static void every_row_is_whole(void **state)
{
	(void)state;
	for (int i = 1; i < ERR_COUNT; i++) {
		enum err err = (enum err)i;
		const char *slug = err_slug(err), *title = err_title(err);

		if (!*slug || strspn(slug, "abcdefghijklmnopqrstuvwxyz_") != strlen(slug))
			fail_msg("slug \"%s\"", slug);
		if (err_status(err) < 400 || err_status(err) > 599)
			fail_msg("%s: status %d", slug, err_status(err));
		if (err_exit_code(err) != 1 && err_exit_code(err) != 2 && err_exit_code(err) != 64)
			fail_msg("%s: exit code %d", slug, err_exit_code(err));
		if (!*title || strpbrk(title, "\r\n\"<&") || title[strlen(title) - 1] == '.')
			fail_msg("%s: title \"%s\"", slug, title);
	}
}

static void no_slug_is_there_twice(void **state)
{
	(void)state;
	for (int i = 0; i < ERR_COUNT; i++)
		for (int j = 0; j < i; j++)
			if (strcmp(err_slug((enum err)i), err_slug((enum err)j)) == 0)
				fail_msg("%s", err_slug((enum err)i));
}

static void what_callers_rely_on_stays(void **state)
{
	static const struct {
		enum err err;
		int status;
		const char *slug;
	} fixed[] = {
		{ERR_INPUT, 400, "invalid_input"},
		{ERR_STATE_UNKNOWN, 400, "state_unknown"},
		{ERR_AUTHORIZATION_DENIED, 400, "authorization_denied"},
		{ERR_UNAUTHENTICATED, 401, "unauthenticated"},
		{ERR_FORBIDDEN, 403, "forbidden"},
		{ERR_ROUTE, 404, "not_found"},
		{ERR_CLIENT_UNKNOWN, 404, "client_unknown"},
		{ERR_METHOD, 405, "method_not_allowed"},
		{ERR_APP_MISSING, 409, "app_missing"},
		{ERR_IN_USE, 409, "in_use"},
		{ERR_REAUTHORIZATION_REQUIRED, 409, "reauthorization_required"},
		{ERR_TOO_LARGE, 413, "payload_too_large"},
		{ERR_MEDIA_TYPE, 415, "unsupported_media_type"},
		{ERR_TOKEN_REFUSED, 422, "token_refused"},
		{ERR_PROVIDER_UNAVAILABLE, 502, "provider_unavailable"},
		{ERR_TOKEN_UNAVAILABLE, 503, "token_unavailable"},
		{ERR_DB_AWAY, 503, "database_unavailable"},
		{ERR_SCHEMA_MISMATCH, 503, "schema_mismatch"},
		{ERR_RENEWAL_NEEDED, 521, "renewal_needed"}, /* nginx's error_page waits for it */
		{ERR_BUG, 500, "internal"},
	};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(fixed); i++) {
		unit_same(fixed[i].slug, err_slug(fixed[i].err), fixed[i].slug);
		assert_int_equal(err_status(fixed[i].err), fixed[i].status);
	}
	assert_int_equal(err_exit_code(ERR_USAGE), 64);
	assert_int_equal(err_status(ERR_OK), 200);
	assert_int_equal(err_exit_code(ERR_OK), 0);
}

static void what_is_no_error_is_our_fault(void **state)
{
	(void)state;
	assert_string_equal(err_slug(ERR_COUNT), err_slug(ERR_BUG));
	assert_int_equal(err_status((enum err)9999), 500);
	assert_int_not_equal(err_exit_code((enum err)9999), 0);
	assert_non_null(err_title((enum err)9999));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_is_whole),
		cmocka_unit_test(no_slug_is_there_twice),
		cmocka_unit_test(what_callers_rely_on_stays),
		cmocka_unit_test(what_is_no_error_is_our_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
