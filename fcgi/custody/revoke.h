/* Ending tokens for good: here at once, and at the provider as soon as it can be asked. */
#ifndef VESTAL_CUSTODY_REVOKE_H
#define VESTAL_CUSTODY_REVOKE_H

#include "custody/place.h"

#include <signal.h>

struct custody_removal {
	const char *client, *provider;
	const struct custody_places *places; /* when none is free, the refresher asks */
	const char *revocation; /* answered: "accepted", "gone", "unconfirmed", "pending" */
};

/*
 * Moves the token into history, with the revocation that is due, in one transaction, and that of
 * whatever may still live of the connection's earlier grants; the other
 * stores forget it; then the provider is asked. From the commit on whatever fails is the
 * refresher's to go on with. Returns: ERR_INPUT (provider), ERR_CLIENT_UNKNOWN,
 * ERR_CONNECTION_UNKNOWN, ERR_NOT_FOUND (there is nothing to revoke) and the database's errors, all
 * of them with nothing changed.
 */
enum err custody_revoke_remove(
	struct work *w, const struct custody *c, struct custody_removal *removal) MUST_CHECK;

/* How many were settled, and asked in vain. */
struct custody_revoked {
	size_t accepted, gone, unconfirmed, pending;
};

/*
 * Goes on with the revocations whose turn has come, one after the other. A provider that cannot be
 * asked is left alone by the same call. Nothing new is begun once until_ms (on the monotonic clock)
 * has passed or *stop, unless stop is NULL, is not 0. Returns: the database's errors.
 */
enum err custody_revoke_pending(struct work *w, const struct custody *c, int64_t until_ms,
	const volatile sig_atomic_t *stop, struct custody_revoked *revoked) MUST_CHECK;

#endif
