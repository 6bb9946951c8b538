/* What the tests of fcgi/oauth share: the built-in definitions, those of providers/, and one unit
 * of work. */
#ifndef VESTAL_TESTS_OAUTH_FIXTURE_H
#define VESTAL_TESTS_OAUTH_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/secret.h"
#include "oauth/http.h"
#include "oauth/provider.h"

struct fixture {
	struct arena arena;
	struct work w;
	struct oauth_faults faults;
	struct oauth_providers *providers;
};

/* A group's setup and teardown. The fixture is the state. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Each test gets an empty unit of work of ten seconds. */
int fixture_begin(void **state);
int fixture_end(void **state);

/* A file of the source tree. */
char *fixture_path(struct fixture *f, const char *path);

/* A provider that has to be there. */
const struct oauth_provider *fixture_provider(struct fixture *f, const char *name);

/* A secret with the bytes of a text; and whether one holds them. */
struct secret *fixture_secret(struct fixture *f, const char *text);
int fixture_holds(const struct secret *secret, const char *text);

/* An answer with a status and n bytes of body. */
struct oauth_http_answer fixture_answer(
	struct fixture *f, int status, const char *content_type, const char *body, size_t n);

#endif
