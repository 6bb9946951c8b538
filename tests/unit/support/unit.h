/* What every unit test begins with: cmocka, and one unit of work a test. */
#ifndef VESTAL_TESTS_UNIT_SUPPORT_UNIT_H
#define VESTAL_TESTS_UNIT_SUPPORT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above */
#include <cmocka.h>

#include "base/work.h"

#define UNIT_COUNT(array) (sizeof(array) / sizeof(*(array)))

/* A test's setup and teardown: *state is a struct work of a minute. */
int unit_begin(void **state);
int unit_end(void **state);

#define UNIT_TEST(name) cmocka_unit_test_setup_teardown(name, unit_begin, unit_end)

/* Fails the test unless text holds part; which names the case. */
void unit_holds(const char *which, const char *text, const char *part);
void unit_lacks(const char *which, const char *text, const char *part);

/* Fails the test unless both texts are the same, or both NULL. */
void unit_same(const char *which, const char *got, const char *wanted);

/* Whether act(context) ends the process by SIGABRT; it runs in a child that says nothing. */
int unit_aborts(void (*act)(void *context), void *context);

/* A new empty folder (0700) of the test's own; unit_dir_remove() removes it with all in it. */
char *unit_dir(void);
void unit_dir_remove(char *dir);

/* A path below the source tree. Owns: the work. */
const char *unit_source(struct work *w, const char *path);

#endif
