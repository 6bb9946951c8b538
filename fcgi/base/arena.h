/*
 * Memory that lives as long as its owner and is wiped when it ends. Nothing in an arena is freed
 * one by one.
 */
#ifndef VESTAL_BASE_ARENA_H
#define VESTAL_BASE_ARENA_H

#include <stddef.h>
#include <stdarg.h>

struct arena_block;

struct arena {
	struct arena_block *blocks;
	size_t used_bytes, ceiling_bytes;
};

/* An empty arena that never hands out more than ceiling_bytes. */
void arena_init(struct arena *arena, size_t ceiling_bytes);

/*
 * n zeroed bytes, aligned for any object. Never NULL: a program out of memory, or one that passes
 * the arena's ceiling, ends at once. Input cannot get there, because everything read from outside
 * has a lower ceiling of its own; what is lost is what a kill would lose, and that is nothing (the
 * database holds all state).
 */
void *arena_alloc(struct arena *arena, size_t n)
	__attribute__((returns_nonnull, malloc, alloc_size(2)));

/* Copies that end with a NUL. text may be NULL for arena_strdup: then NULL. */
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t n);

/* A formatted text. */
char *arena_printf(struct arena *arena, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *arena, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

/* Wipes and frees everything; the arena is empty and usable again. */
void arena_wipe(struct arena *arena);

#endif
