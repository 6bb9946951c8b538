/*
 * Admission. It decides by the route's row alone; the answer to a stranger is always the same,
 * whatever was wrong with his credential.
 */
#include "web/gate.h"

#include "base/log.h"
#include "base/net.h"
#include "base/text.h"
#include "store/audit.h"
#include "web/route.h"

#include <string.h>
#include <strings.h>

#define AGENT_MAX_BYTES 200

/* What a caller may put into our records: printable ASCII, cut short. */
static const char *clean(struct work *w, const char *text, size_t max_bytes)
{
	char *copy = text ? arena_strndup(&w->arena, text, strnlen(text, max_bytes)) : NULL;

	for (char *c = copy; c && *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	return copy;
}

void web_gate_origin(struct web_request *r)
{
	r->w->origin = (struct origin){
		.actor = "anonymous",
		.actor_auth = "none",
		.address = net_plain(r->w, r->raw.address),
		.user_agent = clean(r->w, r->raw.user_agent, AGENT_MAX_BYTES),
		.request_id = r->raw.request_id ? clean(r->w, r->raw.request_id, 64) : "",
	};
}

/*
 * Monitoring routes are for this host, and for the networks the operator names. A request that a
 * proxy forwarded does not come from this host, wherever the proxy stands.
 */
static enum err admit_monitor(struct web_request *r)
{
	const char *networks = conf_text(r->c->conf, CONF_monitor_networks);

	if (net_holds(r->raw.address, networks))
		return ERR_OK;
	if (!r->raw.forwarded && net_holds(r->raw.address, "127.0.0.0/8, ::1"))
		return ERR_OK;
	return work_fail(r->w, ERR_FORBIDDEN,
		"This address is for this host and the networks of monitor_networks.");
}

/* --- callers ---------------------------------------------------------------------------------- */

static void audit_refusal(
	struct web_request *r, enum err err, const char *client, const char *provider)
{
	if (store_audit_add(r->w, r->c->db,
		    &(struct store_event){.action = "auth.failed",
			    .outcome = "denied",
			    .reason = r->w->cause ? r->w->cause : err_slug(err),
			    .key_id = r->caller.key_id,
			    .client = client,
			    .provider = provider,
			    .object_type = "route",
			    .object_id = r->route->pattern}))
		log_event(LOG_ERROR, "audit.not_written", LOG_TEXT("action", "auth.failed"),
			LOG_TEXT("request", r->w->origin.request_id));
}

static enum err admit_key(struct web_request *r)
{
	static const char scheme[] = "Bearer ";
	const char *given = r->raw.authorization;
	enum err err;

	if (!given)
		return ERR_UNAUTHENTICATED;
	if (strncasecmp(given, scheme, sizeof(scheme) - 1) != 0)
		err = work_cause(r->w, ERR_UNAUTHENTICATED, "not a bearer credential");
	else
		err = custody_caller_by_key(r->w, r->c,
			given + sizeof(scheme) - 1 + strspn(given + sizeof(scheme) - 1, " "),
			r->route->callers & WEB_ASSUMED, &r->caller);
	if (!err && !(r->route->callers & r->caller.role))
		err = ERR_FORBIDDEN;
	if (err == ERR_UNAUTHENTICATED || err == ERR_FORBIDDEN)
		audit_refusal(r, err, NULL, NULL);
	return err;
}

enum err web_gate_admit(struct web_request *r)
{
	if (r->route->callers & WEB_BY_MONITOR)
		return admit_monitor(r);
	if (r->route->callers & WEB_BY_STATE) {
		r->w->origin.actor_auth = "state";
		return ERR_OK;
	}
	return admit_key(r);
}

enum err web_gate_confirm(struct web_request *r, enum err err)
{
	enum err caller;

	if (!r->caller.is_assumed)
		return err;
	caller = custody_caller_confirm(r->w, r->c, &r->caller);
	if (caller != ERR_UNAUTHENTICATED)
		return err;
	work_forgive(r->w);
	audit_refusal(r, caller, NULL, NULL);
	return caller;
}

enum err web_gate_scope(struct web_request *r, const char *client, const char *provider)
{
	if (store_scope_holds(&r->caller.scope, client, provider))
		return ERR_OK;
	audit_refusal(r, ERR_CLIENT_UNKNOWN, client, provider);
	return ERR_CLIENT_UNKNOWN;
}

/* One name from a filter, within what the scope allows; a filter outside it lets nothing through.
 */
static void narrow(struct work *w, const char *name, const char *const **list, size_t *n)
{
	const char **one;
	size_t i = 0;

	if (!name)
		return;
	while (*list && i < *n && strcmp((*list)[i], name) != 0)
		i++;
	one = work_alloc(w, sizeof(*one));
	one[0] = name;
	*n = !*list || i < *n;
	*list = one;
}

struct store_scope web_gate_narrow(struct web_request *r, const char *client, const char *provider)
{
	struct store_scope scope = r->caller.scope;

	narrow(r->w, client, &scope.clients, &scope.client_count);
	narrow(r->w, provider, &scope.providers, &scope.provider_count);
	return scope;
}
