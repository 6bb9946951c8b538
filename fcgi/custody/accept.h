/* Taking a proved token into custody: the one way a token gets into the database. */
#ifndef VESTAL_CUSTODY_ACCEPT_H
#define VESTAL_CUSTODY_ACCEPT_H

#include "custody/custody.h"
#include "oauth/token_response.h"

struct custody_acceptance {
	int64_t connection_id, app_id;
	const char *client;
	const struct oauth_provider *provider;
	const char *datacenter;
	const char *kept_json; /* callback parameters kept with the connection; an object */
	const struct oauth_token *token;
	const char *cause;  /* "none", or "scope_missing" for one that lives but may not do all */
	const char *action; /* of the audit event: "authorize.completed" */
	const char *reason; /* may be NULL */
	const char *detail_json; /* of that event, an object; or NULL */
	int64_t incident_id;     /* the one the flow began with; 0: none */
	int64_t attempt_id;      /* the flow that ends with it; 0: none */
	int64_t asked_ms; /* monotonic: before the provider was asked; life counts from there */
	int is_all;       /* no refresh token of before is kept: what was proved is all there is */
	int is_passive;   /* its old owner still renews it */
	int is_mint;      /* a refresh brought it, which counts for the provider's quota */
	const struct secret
		*spent;     /* the refresh token that the provider took for another; or NULL */
	int64_t taken_back; /* of an undo: its generation in history; 0: none */
	const struct secret *account; /* of custody_account_ask(); NULL: not known */
	const char *accept_account;   /* the fingerprint of another account than the pinned one that
					 an administrator accepts; or NULL */
	int64_t held_attempt_id; /* the attempt that kept this token (custody/held.h); 0: none */
	/* answered */
	int64_t generation;
	const char *pinned,
		*found; /* fingerprints: pinned before, or NULL; of ERR_ACCOUNT_CHANGED */
};

/*
 * Stores the token as a new generation, moves the old one into history and writes the audit event,
 * in one transaction; custody_distribute() is due next. An answer without a refresh token keeps the
 * one of a grant that lives, unless is_all. The account is compared with the pinned one under the
 * connection's lock, and pinned where none is (custody/account.h); where it is not known whose a
 * held token is, accept_account may vouch that it is the pinned one's. Whatever is kept for the
 * connection by an attempt is wiped. Returns: ERR_CONNECTION_UNKNOWN (also when it was taken away
 * meanwhile), ERR_ACCOUNT_CHANGED and ERR_PROVIDER_UNAVAILABLE as custody_account_check(),
 * ERR_CONFLICT (what held_attempt_id kept is not there any more; of an undo: something else has
 * come in between), ERR_SEALED, ERR_KEY_UNKNOWN and the database's errors; nothing is changed then.
 */
enum err custody_accept(
	struct work *w, const struct custody *c, struct custody_acceptance *acceptance) MUST_CHECK;

#endif
