/* The end of an authorization-code flow: from the callback's parameters to a proved token in all
 * stores. */
#ifndef VESTAL_CUSTODY_CALLBACK_H
#define VESTAL_CUSTODY_CALLBACK_H

#include "custody/custody.h"
#include "custody/distribute.h"

/* A parameter of the callback, decoded; NULL when absent. */
typedef const char *custody_callback_param(void *context, const char *name);

struct custody_callback {
	const struct oauth_provider *provider; /* of the path */
	custody_callback_param *param;
	void *context;
	/* answered */
	const char *client, *status;
	int64_t generation;
	struct custody_persisted persisted;
};

/*
 * Uses up the state, exchanges the code, proves the token, stores and distributes it. Whatever
 * fails, the attempt is over, the token that was there stays, and the audit trail knows. Returns:
 * ERR_STATE_UNKNOWN, ERR_AUTHORIZATION_DENIED, ERR_ISSUER_MISMATCH, ERR_DATACENTER_MISMATCH,
 * ERR_TOKEN_REFUSED, ERR_PROVIDER_UNAVAILABLE, ERR_ACCOUNT_CHANGED (the token is kept aside, see
 * custody/held.h), and ERR_INPUT when there is neither code nor error
 * (the flow is over then too).
 */
enum err custody_callback(
	struct work *w, const struct custody *c, struct custody_callback *callback) MUST_CHECK;

#endif
