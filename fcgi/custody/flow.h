/* The beginning of an authorization-code flow, for whoever starts one. */
#ifndef VESTAL_CUSTODY_FLOW_H
#define VESTAL_CUSTODY_FLOW_H

#include "custody/custody.h"

#define CUSTODY_FLOW_LIFE_S 600

enum custody_flow_kind { CUSTODY_FLOW_AUTHORIZE, CUSTODY_FLOW_EMERGENCY };

struct custody_flow {
	const char *client, *provider; /* asked for */
	const char *reason;            /* may be NULL */
	enum custody_flow_kind kind;
	int may_connect; /* the caller may make the connection when there is none */
	/* answered */
	const char *authorization_url, *expires_at;
	int64_t incident_id; /* of an emergency */
};

/*
 * Starts a flow: state and verifier are stored and, for an emergency, an incident opened or joined,
 * in one transaction. The token that is there keeps serving. The connection is made when the client
 * has none yet. Returns: ERR_INPUT (provider), ERR_CLIENT_UNKNOWN, ERR_CONNECTION_UNKNOWN,
 * ERR_APP_MISSING, ERR_CONFIG.
 */
enum err custody_flow_begin(
	struct work *w, const struct custody *c, struct custody_flow *flow) MUST_CHECK;

#endif
