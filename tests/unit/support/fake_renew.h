/*
 * The engine of renewals, in place of custody/renew.c: it does what the test laid down, and keeps
 * how it was asked. And the row that everybody looks at, STMT_RENEWAL_LOOK.
 */
#ifndef VESTAL_TESTS_UNIT_SUPPORT_FAKE_RENEW_H
#define VESTAL_TESTS_UNIT_SUPPORT_FAKE_RENEW_H

#include "service.h"

#include "custody/place.h"
#include "custody/renew.h"

struct fake_renew_call {
	int64_t connection_id, generation;
	enum custody_why why;
};

/* SERVICE_TEST whose service renews, in a pool of four, and whose acme (connection 42) holds
 * generation 7, renewable, at leisure. */
#define FAKE_RENEW_TEST(name) cmocka_unit_test_setup_teardown(name, fake_renew_begin, service_end)
int fake_renew_begin(void **state);
extern const struct custody_places fake_renew_places;

/* The engine's next answers: one a call, the last one for ever. With an error the outcome is
 * none. */
void fake_renew_answer(enum err err, enum custody_outcome outcome);

/* Called while the engine is at it: where what it changes is laid down. */
void fake_renew_on_call(void (*on_call)(struct service *s));

/* What recovery does from now on: fails, or finds the spools of so many processes that are gone and
 * calls this. */
void fake_renew_recovery(enum err err, size_t spools, void (*on_recovery)(struct service *s));

size_t fake_renew_count(void);
const struct fake_renew_call *fake_renew_call(size_t which);

/* The row, from now on. What is NULL or 0 is as it was at the beginning. */
struct fake_look {
	const char *generation, *state;
	const char *lease_left_s; /* NULL: nobody renews it */
	const char *deferred_by, *next_in_s, *gate_cause;
	int is_stuck; /* it cannot be renewed */
};
void fake_renew_look(struct fake_look look);

/* The files of the places; to take one as another worker would, and to let it go. */
const char *fake_renew_place(struct service *s, const char *name);
int fake_renew_take(struct service *s, const char *name);
void fake_renew_age(int fd); /* it was taken long ago */

#endif
