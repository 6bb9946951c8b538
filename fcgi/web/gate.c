/*
 * Admission. It decides by the route's row alone; the answer to a stranger is always the same,
 * whatever was wrong with his credential.
 */
#include "web/gate.h"

#include "base/log.h"
#include "base/text.h"
#include "store/audit.h"
#include "web/route.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define AGENT_MAX_BYTES 200
#define NETWORK_MAX_BYTES 64

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
		.address = r->raw.address,
		.user_agent = clean(r->w, r->raw.user_agent, AGENT_MAX_BYTES),
		.request_id = r->raw.request_id ? clean(r->w, r->raw.request_id, 64) : "",
	};
}

/* --- networks --------------------------------------------------------------------------------- */

struct address {
	int family;
	unsigned bits;
	unsigned char bytes[16];
};

/* An IPv4 address within IPv6 counts as IPv4. Source: RFC 4291 section 2.5.5.2. */
static int parse_address(const char *text, struct address *address)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

	memset(address, 0, sizeof(*address));
	address->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	address->bits = address->family == AF_INET ? 32 : 128;
	if (inet_pton(address->family, text, address->bytes) != 1)
		return 0;
	if (address->family == AF_INET6 && memcmp(address->bytes, mapped, sizeof(mapped)) == 0) {
		memmove(address->bytes, address->bytes + 12, 4);
		address->family = AF_INET;
		address->bits = 32;
	}
	return 1;
}

static int covers(const struct address *network, unsigned bits, const struct address *address)
{
	unsigned whole = bits / 8, rest = bits % 8;
	unsigned mask = 0xff00u >> rest & 0xff;

	if (network->family != address->family || bits > network->bits ||
		memcmp(network->bytes, address->bytes, whole) != 0)
		return 0;
	return !rest || (network->bytes[whole] & mask) == (address->bytes[whole] & mask);
}

/* One network, "10.0.0.0/8" or a single address; NETWORK_MAX_BYTES is more than any has. */
static int in_network(const struct address *address, const char *text, size_t n)
{
	char network[NETWORK_MAX_BYTES];
	struct address parsed;
	char *slash;
	int64_t bits = 128;

	if (!n || n >= sizeof(network))
		return 0;
	memcpy(network, text, n);
	network[n] = '\0';
	slash = strchr(network, '/');
	if (slash)
		*slash++ = '\0';
	if (!parse_address(network, &parsed) ||
		(slash && !text_to_int(slash, 0, parsed.bits, &bits)))
		return 0;
	return covers(&parsed, slash ? (unsigned)bits : parsed.bits, address);
}

int web_gate_in_networks(const char *address, const char *networks)
{
	struct address parsed;
	int hit = 0;

	if (!address || !parse_address(address, &parsed))
		return 0;
	while (*networks && !hit) {
		size_t n = strcspn(networks, ", ");

		hit = in_network(&parsed, networks, n);
		networks += n + (networks[n] != '\0');
	}
	return hit;
}

/*
 * Monitoring routes are for this host, and for the networks the operator names. A request that a
 * proxy forwarded does not come from this host, wherever the proxy stands.
 */
static enum err admit_monitor(struct web_request *r)
{
	const char *networks = conf_text(r->c->conf, CONF_monitor_networks);

	if (web_gate_in_networks(r->raw.address, networks))
		return ERR_OK;
	if (!r->raw.forwarded && web_gate_in_networks(r->raw.address, "127.0.0.0/8, ::1"))
		return ERR_OK;
	return ERR_FORBIDDEN;
}

/* --- callers ---------------------------------------------------------------------------------- */

static void audit_refusal(struct web_request *r, enum err err)
{
	if (store_audit_add(r->w, r->c->db,
		    &(struct store_event){.action = "auth.failed",
			    .outcome = "denied",
			    .reason = err_slug(err),
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
			&r->caller);
	if (!err && !(r->route->callers & r->caller.role))
		err = ERR_FORBIDDEN;
	if (err == ERR_UNAUTHENTICATED || err == ERR_FORBIDDEN)
		audit_refusal(r, err);
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

enum err web_gate_scope(struct web_request *r, const char *client, const char *provider)
{
	if (store_scope_holds(&r->caller.scope, client, provider))
		return ERR_OK;
	audit_refusal(r, ERR_CLIENT_UNKNOWN);
	return ERR_CLIENT_UNKNOWN;
}
