/* A service without its outside: real definitions, real keys in a folder of the test's own, and the
 * database that plays a script. */
#ifndef VESTAL_TESTS_UNIT_SUPPORT_SERVICE_H
#define VESTAL_TESTS_UNIT_SUPPORT_SERVICE_H

#include "fake_db.h"
#include "unit.h"

#include "custody/custody.h"

struct service {
	struct work w; /* of the test */
	struct arena arena;
	struct conf conf;
	struct custody c;
	char *dir; /* state/, run/ and keys/ are below */
};

/* A test's setup and teardown; the service is the state. It plays the worker's role. */
int service_begin(void **state);
int service_end(void **state);

#define SERVICE_TEST(name) cmocka_unit_test_setup_teardown(name, service_begin, service_end)

/* A setting, as conf_load() would have left it. */
void service_set(struct service *s, enum conf_option option, const char *text);

/*
 * Lays down an app of zoho_crm, its secret really sealed, for whoever looks for it: STMT_APP_FIND
 * and STMT_APP_GET. Its secret is SERVICE_APP_SECRET.
 */
#define SERVICE_APP_SECRET "app-secret-3c1f"
void service_app(struct service *s);

/* A secret sealed as the token of acme at zoho_crm; column: "access" or "refresh". As a bytea. */
const char *service_sealed(
	struct service *s, const char *column, int64_t generation, const char *secret);

#endif
