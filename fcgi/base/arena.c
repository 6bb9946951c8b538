/* Blocks in a list, the newest first. It decides how memory is cut, and knows nothing of what is
 * kept in it. */
#include "base/arena.h"

#include <openssl/crypto.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)16 * 1024)

struct arena_block {
	struct arena_block *next;
	size_t size, used;
	alignas(max_align_t) unsigned char bytes[];
};

void arena_init(struct arena *arena, size_t ceiling_bytes)
{
	*arena = (struct arena){.ceiling_bytes = ceiling_bytes};
}

static void die(const char *why)
{
	fprintf(stderr, "{\"level\":\"error\",\"event\":\"memory.exhausted\",\"why\":\"%s\"}\n",
		why);
	abort();
}

static struct arena_block *block_new(struct arena *arena, size_t n)
{
	size_t size = n > BLOCK_BYTES ? n : BLOCK_BYTES;
	struct arena_block *block = calloc(1, sizeof(*block) + size);

	if (!block)
		die("allocation failed");
	block->size = size;
	block->next = arena->blocks;
	arena->blocks = block;
	return block;
}

void *arena_alloc(struct arena *arena, size_t n)
{
	struct arena_block *block = arena->blocks;
	size_t rounded;
	void *start;

	if (n > arena->ceiling_bytes - arena->used_bytes)
		die("the ceiling of a unit of work was passed");
	rounded = (n + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
	if (!block || block->size - block->used < rounded)
		block = block_new(arena, rounded);
	start = block->bytes + block->used;
	block->used += rounded;
	arena->used_bytes += n;
	return start;
}

char *arena_strndup(struct arena *arena, const char *text, size_t n)
{
	char *copy = arena_alloc(arena, n + 1);

	if (n)
		memcpy(copy, text, n);
	return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return text ? arena_strndup(arena, text, strlen(text)) : NULL;
}

char *arena_vprintf(struct arena *arena, const char *format, va_list args)
{
	va_list again;
	int n;
	char *text;

	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (n < 0)
		die("a text could not be formatted");
	text = arena_alloc(arena, (size_t)n + 1);
	vsnprintf(text, (size_t)n + 1, format, args);
	return text;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = arena_vprintf(arena, format, args);
	va_end(args);
	return text;
}

void arena_wipe(struct arena *arena)
{
	while (arena->blocks) {
		struct arena_block *block = arena->blocks;

		arena->blocks = block->next;
		OPENSSL_cleanse(block->bytes, block->used);
		free(block);
	}
	arena->used_bytes = 0;
}
