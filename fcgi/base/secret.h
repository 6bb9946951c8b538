/*
 * Secret bytes: tokens, client secrets, keys. They live in OpenSSL's secure heap (locked, guarded,
 * not dumped), are cleared on release, and no formatter takes them. secret_reveal() is the only way
 * in; grep it to see who looks.
 */
#ifndef VESTAL_BASE_SECRET_H
#define VESTAL_BASE_SECRET_H

#include "base/work.h"

struct secret;

/*
 * Makes the secure heap, once per process, before the first secret; forbids core dumps and other
 * processes' eyes. heap_bytes: a power of two. *locked: whether the heap cannot be swapped out (the
 * limit of locked memory allows it). Returns: ERR_NO_MEMORY.
 */
enum err secret_init(size_t heap_bytes, int *locked) MUST_CHECK;

/* Whether more than half of the secure heap is in use: what can wait had better wait. */
int secret_heap_is_tight(void);

/*
 * A secret of n bytes, copied from bytes, or zeroed when bytes is NULL.
 * Returns NULL when the secure heap is full.
 * Owns: the work, or, when w is NULL, the caller (secret_free).
 */
struct secret *secret_new(struct work *w, const void *bytes, size_t n);

/* Clears and frees a secret made without a work. NULL is fine. */
void secret_free(struct secret *secret);

/* The length in bytes. NULL is 0. */
size_t secret_len(const struct secret *secret);

/* The bytes; a NUL follows the last one, which secret_len() does not count. */
const char *secret_reveal(const struct secret *secret);

/* The bytes, to be filled by whoever made the secret. */
unsigned char *secret_fill(struct secret *secret);

/* Clears bytes that were secret and did not live in a struct secret; the compiler may not leave it
 * out. */
void secret_wipe(void *bytes, size_t n);

/* Whether both hold the same bytes; takes the same time whatever they hold. */
int secret_equal(const struct secret *a, const struct secret *b);

#endif
