/* The arena: what it hands out is zeroed and aligned, stays apart, and has a ceiling. */
#include "../support/unit.h"

#include "base/arena.h"

#include <stdalign.h>
#include <string.h>

#define CEILING ((size_t)1024 * 1024)

static void gives_zeroed_aligned_memory_that_stays_apart(void **state)
{
	static const size_t sizes[] = {
		1, 7, 0, 16, 100, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 3, 40000, 1};
	unsigned char *given[UNIT_COUNT(sizes)];
	struct arena arena;

	(void)state;
	arena_init(&arena, CEILING);
	for (size_t i = 0; i < UNIT_COUNT(sizes); i++) {
		given[i] = arena_alloc(&arena, sizes[i]);
		assert_int_equal((uintptr_t)given[i] % alignof(max_align_t), 0);
		for (size_t j = 0; j < sizes[i]; j++)
			assert_int_equal(given[i][j], 0);
		memset(given[i], (int)i + 1, sizes[i]);
	}
	for (size_t i = 0; i < UNIT_COUNT(sizes); i++)
		for (size_t j = 0; j < sizes[i]; j++)
			assert_int_equal(given[i][j], i + 1);
	arena_wipe(&arena);
}

static void copies_end_with_a_nul(void **state)
{
	struct arena arena;
	char *copy;

	(void)state;
	arena_init(&arena, CEILING);
	assert_null(arena_strdup(&arena, NULL));
	assert_string_equal(arena_strdup(&arena, ""), "");
	assert_string_equal(arena_strdup(&arena, "whole"), "whole");
	assert_string_equal(arena_strndup(&arena, "cut here", 3), "cut");
	copy = arena_strndup(&arena, "a\0b", 3);
	assert_memory_equal(copy, "a\0b\0", 4);
	arena_wipe(&arena);
}

static void formats_texts_of_any_length(void **state)
{
	char wide[30000];
	struct arena arena;
	const char *text;

	(void)state;
	memset(wide, 'x', sizeof(wide) - 1);
	wide[sizeof(wide) - 1] = '\0';
	arena_init(&arena, CEILING);
	assert_string_equal(arena_printf(&arena, "%s-%d", "a", 7), "a-7");
	text = arena_printf(&arena, "<%s>", wide);
	assert_int_equal(strlen(text), sizeof(wide) + 1);
	assert_int_equal(text[sizeof(wide)], '>');
	arena_wipe(&arena);
}

struct past {
	size_t first, second;
};

static void pass(void *context)
{
	const struct past *past = context;
	struct arena arena;

	arena_init(&arena, 1000);
	arena_alloc(&arena, past->first);
	arena_alloc(&arena, past->second);
}

static void ends_the_program_past_its_ceiling_and_not_before(void **state)
{
	(void)state;
	assert_false(unit_aborts(pass, &(struct past){600, 400}));
	assert_true(unit_aborts(pass, &(struct past){600, 401}));
	assert_true(unit_aborts(pass, &(struct past){1, SIZE_MAX}));
	assert_true(unit_aborts(pass, &(struct past){1, SIZE_MAX - 8}));
}

static void is_empty_and_usable_after_a_wipe(void **state)
{
	struct arena arena;

	(void)state;
	arena_init(&arena, 1000);
	for (int i = 0; i < 10; i++) {
		char *text = arena_alloc(&arena, 1000);

		assert_int_equal(text[999], 0);
		memset(text, 'x', 1000);
		arena_wipe(&arena);
		assert_null(arena.blocks);
		assert_int_equal(arena.used_bytes, 0);
	}
	arena_wipe(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_zeroed_aligned_memory_that_stays_apart),
		cmocka_unit_test(copies_end_with_a_nul),
		cmocka_unit_test(formats_texts_of_any_length),
		cmocka_unit_test(ends_the_program_past_its_ceiling_and_not_before),
		cmocka_unit_test(is_empty_and_usable_after_a_wipe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
