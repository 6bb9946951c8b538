/* A request as nginx hands it over, read the way main.c does. */
#ifndef VESTAL_TESTS_UNIT_WEB_ASK_H
#define VESTAL_TESTS_UNIT_WEB_ASK_H

#include "../support/fake_accept.h"
#include "../support/service.h"

#include "web/request.h"
#include "web/route.h"

/* An empty request; faults of one before are forgotten. */
struct web_request ask(struct service *s, const char *method, const char *uri);

/* The same with a JSON body. */
struct web_request ask_with(
	struct service *s, const char *method, const char *uri, const char *body);

/* Begins and matches. */
enum err ask_match(struct web_request *r, const char **allow);

/* Begins, matches (which must work) and reads the fields. */
enum err ask_read(struct web_request *r);

/* Whether a fault of that field was recorded, its reason holding reason. */
int ask_faults(const struct web_request *r, const char *field, const char *reason);

#endif
