/* A manual override: tokens that an administrator brings take the place of those that are there. */
#ifndef VESTAL_CUSTODY_OVERRIDE_H
#define VESTAL_CUSTODY_OVERRIDE_H

#include "custody/distribute.h"
#include "custody/place.h"

struct custody_override {
	const char *client, *provider;
	const char *datacenter;          /* NULL: the connection's, else the app's */
	struct secret *refresh, *access; /* refresh goes first; one of them may be NULL */
	int64_t expires_in_s;            /* of an access token alone; 0: not known */
	const char *reason;
	const char *accept_account; /* another account than the pinned one, by its fingerprint; or
				       NULL */
	int is_dry_run;             /* only tries */
	const struct custody_places *places;
	/* answered */
	int64_t generation; /* of the token there is now; 0: none */
	const char *status;
	struct custody_persisted persisted;
};

/*
 * Tries the tokens at the provider, and only then stores what proved as a new generation, brings it
 * to the other stores and closes the incident. A refusal leaves an audit event and nothing else; a
 * dry run does so too. No lease is needed: a renewal on its way is superseded by it. Returns:
 * ERR_INPUT, ERR_CLIENT_UNKNOWN, ERR_APP_MISSING, ERR_CANNOT_TRY, ERR_RENEWAL_DEFERRED (no place is
 * free) and what custody_trial() and custody_accept() do.
 */
enum err custody_override(
	struct work *w, const struct custody *c, struct custody_override *override) MUST_CHECK;

#endif
