/* THE route table: what there is, who may, and what it takes. */
#ifndef VESTAL_WEB_ROUTE_H
#define VESTAL_WEB_ROUTE_H

#include "web/request.h"

/* Which workers nginx sends a route to; kept here so that tools/dev/check-routes can compare. */
enum web_pool { WEB_POOL_FAST, WEB_POOL_PROVIDER, WEB_POOL_FLOW };

/* Who may call, beside the roles of enum custody_role. WEB_ASSUMED: a key that this worker has
 * recognised before is confirmed by the very statement that serves it. */
enum { WEB_BY_STATE = 1 << 8, WEB_BY_MONITOR = 1 << 9, WEB_ASSUMED = 1 << 10 };

typedef enum err web_handler(struct web_request *r);

struct web_route {
	const char *method, *pattern;
	web_handler *handle;
	unsigned callers;
	enum web_pool pool;
	int head;      /* HEAD works as well */
	int any_query; /* unknown query parameters are ignored */
	const struct web_field *fields;
};

extern const struct web_route web_routes[];

/*
 * Finds the route of the request and keeps the segments of its path.
 * Returns: ERR_ROUTE; ERR_METHOD, with *allow naming the methods there are.
 */
enum err web_route_match(struct web_request *r, const char **allow) MUST_CHECK;

/* Checks the table itself, at boot and in a test. Returns NULL, or what is wrong with it. */
const char *web_route_fault(void);

#endif
