/* What the vault's tests share: a folder of their own, golden files, and key rings written by other
 * code than ours. */
#ifndef VESTAL_TESTS_UNIT_VAULT_SUPPORT_H
#define VESTAL_TESTS_UNIT_VAULT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>

#include "vault/keyring.h"

#include <sys/types.h>

#define SUPPORT_FIELDS_MAX 9
#define SUPPORT_BUDGET_MS 60000

struct support_key {
	const char *id, *status, *created, *key;
};

/* A new empty folder (0700), gone with support_remove(). Ends the test when it cannot be made. */
char *support_dir(void);
void support_remove(char *dir);

void support_write(const char *dir, const char *name, const void *bytes, size_t n, mode_t mode);

/* A whole file of dir, or of the source tree's tests/golden. */
char *support_read(struct work *w, const char *dir, const char *name, size_t *n);
char *support_golden(struct work *w, const char *name, size_t *n);

/* Bytes of hex; "-" is none. */
unsigned char *support_unhex(struct work *w, const char *hex, size_t *n);

/*
 * Calls each() with the words of every line of a golden file that is no comment, and returns how
 * many there were. A line with another number of words fails the test.
 */
size_t support_lines(
	struct work *w, const char *name, size_t words, void (*each)(struct work *w, char **word));

/* A ring's text with a fitting MAC, written without vault/ring.c. extra: further text before "mac",
 * or "". */
char *support_ring(struct work *w, const char *ring, const char *primary,
	const struct support_key *keys, size_t n, const char *extra);

/* Writes the ring <file>.ring (0600) of one enabled key, whose bytes follow from its id. */
void support_one_key(const char *dir, const char *file, const char *id);

/* Copies a golden ring (seal-v1/<ring>.ring) into dir (0600). */
void support_golden_ring(const char *dir, const char *ring);

/* Loads rings, which must work. */
struct vault_keyring *support_load(struct work *w, const char *dir, unsigned rings_mask);

/* A secret of a text. */
struct secret *support_secret(struct work *w, const char *text);

#endif
