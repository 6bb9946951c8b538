/*
 * The token of another account than the pinned one, or one that cost another token and of which
 * the provider did not say whose it is, between a callback and an administrator's word: sealed in
 * its attempt, used by nobody, and wiped when its time is over or another token has come.
 */
#ifndef VESTAL_CUSTODY_HELD_H
#define VESTAL_CUSTODY_HELD_H

#include "custody/accept.h"
#include "custody/distribute.h"
#include "store/attempt.h"

#define CUSTODY_HELD_LIFE_S 600

/*
 * Keeps the token that custody_accept() refused with ERR_ACCOUNT_CHANGED, or for want of an
 * account, ends the attempt, marks the refresh token that it cost, and writes the event of it, in
 * one transaction. A token that cannot be renewed is kept no longer than
 * it lives. Returns: ERR_CONNECTION_UNKNOWN, ERR_CONFLICT (the attempt is over), ERR_KEY_UNKNOWN,
 * ERR_TOO_LARGE and the database's errors; nothing is kept then.
 */
enum err custody_held_keep(struct work *w, const struct custody *c,
	const struct store_attempt *attempt, const struct custody_acceptance *refused) MUST_CHECK;

struct custody_held_taking {
	const char *client, *provider;
	const char
		*accept_account; /* the fingerprint that was found; the pinned one where none was */
	const char *reason;      /* may be NULL */
	/* answered */
	const char *status;
	int64_t generation;
	struct custody_persisted persisted;
};

/*
 * An administrator accepts the account: what is kept is stored, the account pinned anew, and the
 * token distributed, which closes the incident. The provider is not asked again. Returns: ERR_INPUT
 * (provider, acceptAccount), ERR_CLIENT_UNKNOWN, ERR_CONNECTION_UNKNOWN, ERR_NOT_FOUND (nothing is
 * kept), ERR_CONFLICT (its time is over), ERR_ACCOUNT_CHANGED (another account than the accepted
 * one was found), ERR_SEALED, ERR_KEY_UNKNOWN.
 */
enum err custody_held_take(
	struct work *w, const struct custody *c, struct custody_held_taking *taking) MUST_CHECK;

#endif
