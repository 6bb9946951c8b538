/* Secrets: where they live, how they compare, and what a full heap means. test_wipe.c sees them go.
 */
#include "../support/unit.h"

#include "base/secret.h"

#include <openssl/crypto.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define HEAP_BYTES ((size_t)1 << 16)

static void a_secret_holds_its_bytes(void **state)
{
	struct secret *secret = secret_new(*state, "a\0b", 3), *empty = secret_new(*state, NULL, 0),
		      *zeroed = secret_new(*state, NULL, 40);

	assert_int_equal(secret_len(secret), 3);
	assert_memory_equal(secret_reveal(secret), "a\0b\0", 4);
	assert_int_equal(CRYPTO_secure_allocated(secret), 1);
	assert_int_equal(secret_len(empty), 0);
	assert_string_equal(secret_reveal(empty), "");
	for (int i = 0; i <= 40; i++)
		assert_int_equal(secret_reveal(zeroed)[i], 0);
	secret_fill(zeroed)[39] = 'x';
	assert_int_equal(secret_reveal(zeroed)[39], 'x');
	assert_int_equal(secret_len(NULL), 0);
}

static void secrets_are_equal_when_every_byte_is(void **state)
{
	static const struct {
		const char *a, *b;
		size_t a_n, b_n;
		int equal;
	} cases[] = {{"abc", "abc", 3, 3, 1}, {"abc", "abd", 3, 3, 0}, {"abc", "xbc", 3, 3, 0},
		{"abc", "abc", 3, 2, 0}, {"abc", "abc", 2, 3, 0}, {"", "", 0, 0, 1},
		{"a\0b", "a\0c", 3, 3, 0}};

	for (size_t i = 0; i < UNIT_COUNT(cases); i++)
		assert_int_equal(secret_equal(secret_new(*state, cases[i].a, cases[i].a_n),
					 secret_new(*state, cases[i].b, cases[i].b_n)),
			cases[i].equal);
}

static void a_full_heap_gives_none(void **state)
{
	size_t before = CRYPTO_secure_used();
	struct work w;
	int given = 0;

	(void)state;
	assert_null(secret_new(NULL, NULL, HEAP_BYTES));
	work_begin(&w, 1000);
	while (secret_new(&w, NULL, 4000))
		given++;
	assert_in_range(given, 4, HEAP_BYTES / 4000);
	work_end(&w);
	assert_int_equal(CRYPTO_secure_used(), before);
}

static void one_without_a_work_is_its_callers(void **state)
{
	size_t before = CRYPTO_secure_used();
	struct secret *secret = secret_new(NULL, "x", 1);

	(void)state;
	assert_true(CRYPTO_secure_used() > before);
	secret_free(secret);
	secret_free(NULL);
	assert_int_equal(CRYPTO_secure_used(), before);
}

static void no_core_and_no_eyes(void **state)
{
	struct rlimit core;

	(void)state;
	assert_int_equal(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
	assert_int_equal(getrlimit(RLIMIT_CORE, &core), 0);
	assert_int_equal(core.rlim_cur, 0);
	assert_int_equal(core.rlim_max, 0);
}

static void a_second_start_does_no_harm(void **state)
{
	struct secret *secret = secret_new(*state, "kept", 4);
	int locked;

	assert_int_equal(secret_init(HEAP_BYTES, &locked), ERR_OK);
	assert_memory_equal(secret_reveal(secret), "kept", 4);
}

static int setup(void **state)
{
	int locked;

	(void)state;
	return secret_init(HEAP_BYTES, &locked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST(a_secret_holds_its_bytes),
		UNIT_TEST(secrets_are_equal_when_every_byte_is),
		cmocka_unit_test(a_full_heap_gives_none),
		cmocka_unit_test(one_without_a_work_is_its_callers),
		cmocka_unit_test(no_core_and_no_eyes),
		UNIT_TEST(a_second_start_does_no_harm),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
