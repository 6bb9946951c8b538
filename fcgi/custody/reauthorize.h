/* Taking a bad token out of service, so that only a new authorization brings the connection back.
 */
#ifndef VESTAL_CUSTODY_REAUTHORIZE_H
#define VESTAL_CUSTODY_REAUTHORIZE_H

#include "custody/custody.h"

struct custody_reauthorization {
	const char *client, *provider, *reason; /* reason may be NULL */
	int64_t incident_id;                    /* answered */
};

/*
 * Moves the token into history, opens an incident, writes audit event and message in one
 * transaction; then the stores outside the database forget it too. A connection without token is as
 * welcome: the incident is what is asked for. Returns: ERR_INPUT (provider), ERR_CLIENT_UNKNOWN,
 * ERR_CONNECTION_UNKNOWN, ERR_APP_MISSING.
 */
enum err custody_reauthorize(
	struct work *w, const struct custody *c, struct custody_reauthorization *r) MUST_CHECK;

#endif
