/* The route table and the walk through it. It decides what exists; who may is decided in
 * web/gate.c. */
#include "web/route.h"

#include "base/text.h"
#include "web/handle.h"

#include <string.h>

#define ADMIN CUSTODY_ADMIN
#define ADMIN_OPERATOR (CUSTODY_ADMIN | CUSTODY_OPERATOR)
#define ADMIN_OPERATOR_AUDITOR (CUSTODY_ADMIN | CUSTODY_OPERATOR | CUSTODY_AUDITOR)
#define ADMIN_SERVICE (CUSTODY_ADMIN | CUSTODY_SERVICE)

#define CLIENT_IN_PATH                                                                             \
	{                                                                                          \
		"clientId", WEB_TYPE_CLIENT, WEB_IN_PATH, 1, 0, 0                                  \
	}
#define PROVIDER_IN(place, required)                                                               \
	{                                                                                          \
		"provider", WEB_TYPE_PROVIDER, place, required, 0, 0                               \
	}
#define REASON_IN(place)                                                                           \
	{                                                                                          \
		"reason", WEB_TYPE_TEXT, place, 0, 1, 500                                          \
	}
#define REASON_NEEDED                                                                              \
	{                                                                                          \
		"reason", WEB_TYPE_TEXT, WEB_IN_BODY, 1, 1, 500                                    \
	}
#define CLIENT_IN(place)                                                                           \
	{                                                                                          \
		"clientId", WEB_TYPE_CLIENT, place, 0, 0, 0                                        \
	}

static const struct web_field no_fields[] = {{0}};

static const struct web_field authorize_fields[] = {
	CLIENT_IN_PATH, PROVIDER_IN(WEB_IN_QUERY, 1), {0}};

static const struct web_field callback_fields[] = {PROVIDER_IN(WEB_IN_PATH, 1), {0}};

static const struct web_field reauthorize_fields[] = {
	CLIENT_IN_PATH, PROVIDER_IN(WEB_IN_BODY, 1), REASON_IN(WEB_IN_BODY), {0}};

static const struct web_field accept_account_fields[] = {CLIENT_IN_PATH,
	PROVIDER_IN(WEB_IN_BODY, 1), {"acceptAccount", WEB_TYPE_TEXT, WEB_IN_BODY, 1, 1, 40},
	REASON_IN(WEB_IN_BODY), {0}};

static const struct web_field emergency_post_fields[] = {
	CLIENT_IN(WEB_IN_BODY), PROVIDER_IN(WEB_IN_BODY, 0), REASON_IN(WEB_IN_BODY), {0}};

static const struct web_field emergency_get_fields[] = {
	CLIENT_IN(WEB_IN_QUERY), PROVIDER_IN(WEB_IN_QUERY, 0), REASON_IN(WEB_IN_QUERY), {0}};

static const struct web_field override_fields[] = {
	CLIENT_IN(WEB_IN_BODY),
	PROVIDER_IN(WEB_IN_BODY, 0),
	{"refresh_token", WEB_TYPE_TEXT, WEB_IN_BODY, 0, 1, 16384},
	{"access_token", WEB_TYPE_TEXT, WEB_IN_BODY, 0, 1, 16384},
	{"expires_in", WEB_TYPE_INT, WEB_IN_BODY, 0, 1, 316224000},
	{"datacenter", WEB_TYPE_TEXT, WEB_IN_BODY, 0, 1, 64},
	REASON_NEEDED,
	{"dryRun", WEB_TYPE_BOOL, WEB_IN_BODY, 0, 0, 0},
	{"acceptAccount", WEB_TYPE_TEXT, WEB_IN_BODY, 0, 1, 40},
	{0},
};

static const struct web_field undo_fields[] = {
	CLIENT_IN_PATH, PROVIDER_IN(WEB_IN_BODY, 1), REASON_NEEDED, {0}};

static const struct web_field health_fields[] = {
	{"status", WEB_TYPE_WORDS, WEB_IN_QUERY, 0, 0, 0},
	CLIENT_IN(WEB_IN_QUERY),
	PROVIDER_IN(WEB_IN_QUERY, 0),
	{"limit", WEB_TYPE_INT, WEB_IN_QUERY, 0, 1, 10000},
	{"after", WEB_TYPE_TEXT, WEB_IN_QUERY, 0, 1, 200},
	{0},
};

static const struct web_field check_fields[] = {
	{"clientId", WEB_TYPE_CLIENT, WEB_IN_BODY, 0, 0, 0}, PROVIDER_IN(WEB_IN_BODY, 0), {0}};

static const struct web_field token_fields[] = {CLIENT_IN_PATH, PROVIDER_IN(WEB_IN_QUERY, 1),
	{"min_ttl", WEB_TYPE_INT, WEB_IN_QUERY, 0, 0, 31622400}, {0}};

static const struct web_field remove_fields[] = {CLIENT_IN_PATH, PROVIDER_IN(WEB_IN_QUERY, 1), {0}};

static const struct web_field rejected_fields[] = {CLIENT_IN_PATH, PROVIDER_IN(WEB_IN_BODY, 1),
	{"generation", WEB_TYPE_INT, WEB_IN_BODY, 1, 1, 9007199254740991}, {0}};

static const struct web_field refresh_fields[] = {CLIENT_IN_PATH, PROVIDER_IN(WEB_IN_BODY, 1), {0}};

static const struct web_field client_put_fields[] = {CLIENT_IN_PATH,
	{"name", WEB_TYPE_TEXT, WEB_IN_BODY, 0, 1, 200},
	{"providers", WEB_TYPE_NAMES, WEB_IN_BODY, 1, 0, 100}, {0}};

static const struct web_field incidents_fields[] = {
	{"client", WEB_TYPE_CLIENT, WEB_IN_QUERY, 0, 0, 0},
	PROVIDER_IN(WEB_IN_QUERY, 0),
	{"state", WEB_TYPE_WORDS, WEB_IN_QUERY, 0, 0, 0},
	{"limit", WEB_TYPE_INT, WEB_IN_QUERY, 0, 1, 1000},
	{"after", WEB_TYPE_INT, WEB_IN_QUERY, 0, 1, 9007199254740991},
	{0},
};

static const struct web_field incident_fields[] = {
	{"id", WEB_TYPE_INT, WEB_IN_PATH, 1, 1, 9007199254740991}, {0}};

static const struct web_field incident_ack_fields[] = {
	{"id", WEB_TYPE_INT, WEB_IN_PATH, 1, 1, 9007199254740991},
	{"note", WEB_TYPE_TEXT, WEB_IN_BODY, 0, 1, 500}, {0}};

const struct web_route web_routes[] = {
	{"GET", "/api/oauth/authorize/:clientId", web_handle_authorize, ADMIN_OPERATOR,
		WEB_POOL_FAST, 0, 0, authorize_fields},
	{"GET", "/api/oauth/callback/:provider", web_handle_callback, WEB_BY_STATE, WEB_POOL_FLOW,
		0, 1, callback_fields},
	{"POST", "/api/oauth/reauthorize/:clientId", web_handle_reauthorize, ADMIN, WEB_POOL_FAST,
		0, 0, reauthorize_fields},
	{"POST", "/api/oauth/accept-account/:clientId", web_handle_accept_account, ADMIN,
		WEB_POOL_FAST, 0, 0, accept_account_fields},
	{"POST", "/api/zoho/emergency-reauth", web_handle_emergency, ADMIN, WEB_POOL_FAST, 0, 0,
		emergency_post_fields},
	{"GET", "/api/zoho/emergency-reauth", web_handle_emergency, ADMIN, WEB_POOL_FAST, 0, 0,
		emergency_get_fields},
	{"POST", "/api/zoho/manual-token-update", web_handle_override, ADMIN, WEB_POOL_PROVIDER, 0,
		0, override_fields},
	{"POST", "/api/oauth/undo/:clientId", web_handle_undo, ADMIN, WEB_POOL_PROVIDER, 0, 0,
		undo_fields},
	{"POST", "/api/oauth/refresh/:clientId", web_handle_refresh, ADMIN_OPERATOR,
		WEB_POOL_PROVIDER, 0, 0, refresh_fields},
	{"GET", "/divine/oauth/health", web_handle_health, ADMIN_OPERATOR_AUDITOR, WEB_POOL_FAST, 1,
		0, health_fields},
	{"POST", "/divine/oauth/health/check", web_handle_check, ADMIN_OPERATOR, WEB_POOL_PROVIDER,
		0, 0, check_fields},
	{"GET", "/api/oauth/token/:clientId", web_handle_token, ADMIN_SERVICE | WEB_ASSUMED,
		WEB_POOL_FAST, 0, 0, token_fields},
	{"POST", "/api/oauth/token/:clientId/rejected", web_handle_rejected, ADMIN_SERVICE,
		WEB_POOL_PROVIDER, 0, 0, rejected_fields},
	{"DELETE", "/api/oauth/token/:clientId", web_handle_remove, ADMIN, WEB_POOL_PROVIDER, 0, 0,
		remove_fields},
	{"GET", "/api/oauth/clients", web_handle_clients, ADMIN, WEB_POOL_FAST, 1, 0, no_fields},
	{"PUT", "/api/oauth/clients/:clientId", web_handle_client_put, ADMIN, WEB_POOL_FAST, 0, 0,
		client_put_fields},
	{"GET", "/api/oauth/incidents", web_handle_incidents, ADMIN_OPERATOR_AUDITOR, WEB_POOL_FAST,
		1, 0, incidents_fields},
	{"GET", "/api/oauth/incidents/:id", web_handle_incident, ADMIN_OPERATOR_AUDITOR,
		WEB_POOL_FAST, 1, 0, incident_fields},
	{"POST", "/api/oauth/incidents/:id/ack", web_handle_incident_ack, ADMIN_OPERATOR,
		WEB_POOL_FAST, 0, 0, incident_ack_fields},
	{"GET", "/healthz", web_handle_healthz, WEB_BY_MONITOR, WEB_POOL_FAST, 1, 0, no_fields},
	{"GET", "/readyz", web_handle_readyz, WEB_BY_MONITOR, WEB_POOL_FAST, 1, 0, no_fields},
	{0},
};

/* The length of a path's first segment. */
static size_t segment(const char *path)
{
	return strcspn(path, "/");
}

/* Whether a path fits a pattern; the values of its :names, still encoded, go into *values. */
static int fits(struct work *w, const char *pattern, const char *path, const char *values[8])
{
	size_t count = 0;

	while (*pattern == '/' && *path == '/') {
		size_t pattern_n = segment(++pattern), n = segment(++path);

		if (*pattern == ':') {
			if (!n || count == 8)
				return 0;
			values[count++] = arena_strndup(&w->arena, path, n);
		} else if (n != pattern_n || strncmp(pattern, path, n) != 0)
			return 0;
		pattern += pattern_n;
		path += n;
	}
	return !*pattern && !*path;
}

static int takes(const struct web_route *route, const char *method)
{
	return strcmp(route->method, method) == 0 || (route->head && strcmp(method, "HEAD") == 0);
}

static const char *join(struct work *w, const char *allow, const struct web_route *route)
{
	return work_printf(w, "%s%s%s%s", allow ? allow : "", allow ? ", " : "", route->method,
		route->head ? ", HEAD" : "");
}

static enum err decode(struct web_request *r, const char *const values[8])
{
	for (size_t i = 0; i < 8 && values[i]; i++) {
		/* A plus is itself in a path, a space only in a query. */
		r->segments[i] = strchr(values[i], '+')
					 ? NULL
					 : text_form_decode(r->w, values[i], strlen(values[i]));
		if (!r->segments[i])
			r->segments[i] = "+"; /* no name of ours: refused with its field named */
	}
	return ERR_OK;
}

enum err web_route_match(struct web_request *r, const char **allow)
{
	*allow = NULL;
	for (const struct web_route *route = web_routes; route->method; route++) {
		const char *values[8] = {0};

		if (!fits(r->w, route->pattern, r->path, values))
			continue;
		if (takes(route, r->raw.method)) {
			*allow = NULL;
			r->route = route;
			return decode(r, values);
		}
		*allow = join(r->w, *allow, route);
	}
	return *allow ? ERR_METHOD : ERR_ROUTE;
}

const char *web_route_fault(void)
{
	for (const struct web_route *route = web_routes; route->method; route++) {
		size_t n = 0;

		if (!route->handle || !route->callers || !route->fields || *route->pattern != '/')
			return route->pattern;
		while (route->fields[n].name)
			n++;
		if (n > WEB_FIELDS_MAX)
			return route->pattern;
		for (const struct web_route *other = web_routes; other < route; other++)
			if (strcmp(other->method, route->method) == 0 &&
				strcmp(other->pattern, route->pattern) == 0)
				return route->pattern;
	}
	return NULL;
}
