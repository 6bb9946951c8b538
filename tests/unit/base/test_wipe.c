/* Nothing that was kept is still there when its memory goes back: free() is watched. */
#include "../support/unit.h"

#include "base/buf.h"
#include "base/jin.h"
#include "base/secret.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define MARKER "MARKER-5bd1e995"

void __real_free(void *p);
void __wrap_free(void *p);

static volatile int watching;
static volatile size_t freed, leaked;

void __wrap_free(void *p)
{
	if (p && watching) {
		freed++;
		leaked += memmem(p, malloc_usable_size(p), MARKER, sizeof(MARKER) - 1) != NULL;
	}
	__real_free(p);
}

static void watch(void)
{
	freed = 0;
	leaked = 0;
	watching = 1;
}

static void expect_clean(size_t least)
{
	watching = 0;
	assert_true(freed >= least);
	assert_int_equal(leaked, 0);
}

/* Without this the tests below would pass whatever happens. */
static void the_watch_sees_what_is_not_wiped(void **state)
{
	char *text = strdup(MARKER);

	(void)state;
	watch();
	free(text);
	watching = 0;
	assert_int_equal(leaked, 1);
}

static void an_arena_is_wiped(void **state)
{
	struct work w;

	(void)state;
	work_begin(&w, 1000);
	for (int i = 0; i < 4000; i++)
		work_strdup(&w, MARKER);
	strcpy(work_alloc(&w, 100000), MARKER);
	watch();
	work_end(&w);
	expect_clean(3);
}

static void a_buffer_leaves_nothing_where_it_was(void **state)
{
	struct work w;
	struct buf buf;
	const char *first;

	(void)state;
	work_begin(&w, 1000);
	buf_init(&buf, &w, 100000);
	buf_text(&buf, MARKER);
	first = buf.data;
	while (buf.data == first)
		buf_text(&buf, "more");
	assert_null(memmem(first, 256, MARKER, sizeof(MARKER) - 1));
	assert_memory_equal(buf.data, MARKER "more", sizeof(MARKER) + 3);
	buf_clear(&buf);
	assert_null(memmem(buf.data, buf.cap, MARKER, sizeof(MARKER) - 1));
	work_end(&w);
}

static void parsed_json_is_wiped(void **state)
{
	static const char text[] = "{\"" MARKER "\":[\"" MARKER "\",{\"a\":\"" MARKER "\"}]}";
	static const char broken[] = "{\"a\":\"" MARKER "\"";
	struct work w;

	(void)state;
	work_begin(&w, 1000);
	watch();
	assert_non_null(jin_parse(&w, text, sizeof(text) - 1));
	assert_null(jin_parse(&w, broken, sizeof(broken) - 1));
	work_end(&w);
	expect_clean(5);
}

/* The secure heap stays readable after a release. */
static void a_secret_is_cleared(void **state)
{
	struct work w;
	struct secret *secret;
	const unsigned char *bytes;
	size_t before = CRYPTO_secure_used();

	(void)state;
	work_begin(&w, 1000);
	secret = secret_new(&w, MARKER, sizeof(MARKER) - 1);
	assert_non_null(secret);
	bytes = secret_fill(secret);
	assert_int_equal(CRYPTO_secure_allocated(secret), 1);
	assert_memory_equal(bytes, MARKER, sizeof(MARKER) - 1);
	work_end(&w);
	assert_int_equal(CRYPTO_secure_used(), before);
	assert_null(memmem(bytes, sizeof(MARKER) - 1, "MARKER", 6));
	assert_null(memmem(bytes, sizeof(MARKER) - 1, "5bd1e995", 8));
}

static int setup(void **state)
{
	int locked;

	(void)state;
	jin_init();
	return secret_init(1 << 16, &locked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_watch_sees_what_is_not_wiped),
		cmocka_unit_test(an_arena_is_wiped),
		cmocka_unit_test(a_buffer_leaves_nothing_where_it_was),
		cmocka_unit_test(parsed_json_is_wiped),
		cmocka_unit_test(a_secret_is_cleared),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
