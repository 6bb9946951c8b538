/* Clients and their connections, before any token. */
#ifndef VESTAL_CUSTODY_ONBOARD_H
#define VESTAL_CUSTODY_ONBOARD_H

#include "custody/custody.h"

struct custody_onboarding {
	const char *client;
	const char *name;             /* NULL: as it is, or the id */
	const char *const *providers; /* NULL: as they are */
	size_t provider_count;
	int is_new; /* answered */
};

/*
 * Makes the client what was asked for: name and exactly these connections, in one transaction.
 * Returns: ERR_INPUT (unknown provider), ERR_IN_USE when a connection would be taken away that
 * holds a token.
 */
enum err custody_onboard(
	struct work *w, const struct custody *c, struct custody_onboarding *onboarding) MUST_CHECK;

/* Makes one connection of a client that is there. Returns: ERR_INPUT, ERR_CLIENT_UNKNOWN. */
enum err custody_onboard_connect(struct work *w, const struct custody *c, const char *client,
	const char *provider) MUST_CHECK;

/* Removes a client that holds no token. Returns: ERR_CLIENT_UNKNOWN, ERR_IN_USE. */
enum err custody_onboard_remove(
	struct work *w, const struct custody *c, const char *client) MUST_CHECK;

#endif
