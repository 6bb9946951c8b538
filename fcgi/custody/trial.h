/*
 * Trying tokens that somebody has brought (an override, an undo, an import) at the provider. A
 * trial changes nothing here: who keeps what it proved counts the request, too
 * (custody_acceptance.is_mint).
 */
#ifndef VESTAL_CUSTODY_TRIAL_H
#define VESTAL_CUSTODY_TRIAL_H

#include "custody/app.h"
#include "oauth/outcome.h"
#include "oauth/token_response.h"

struct custody_trial {
	int64_t connection_id; /* whose meter counts; 0: there is none yet */
	const struct oauth_provider *provider;
	int64_t app_id;                  /* in: any app of the owner; out: the one that was used */
	const char *datacenter;          /* "": the provider has none */
	const char *api_domain;          /* the connection's own there, or NULL */
	struct secret *refresh, *access; /* refresh goes first; one of them may be NULL */
	int64_t expires_in_s;            /* of an access token alone, from now on; 0: not known */
	/* answered */
	struct oauth_token token; /* what was proved: with the refresh token that counts from now
				     on, or with none: it cannot be renewed */
	const char *cause;        /* "none", or "scope_missing" */
	int64_t asked_ms;         /* monotonic; the token's life counts from here */
	int is_replaced; /* the provider gave another refresh token for the one it was given */
	const struct secret *account; /* of custody_account_ask(); NULL: not known */
	/* answered of a failure, too */
	const char *finding; /* a closed word, for the audit trail: why it was refused */
	const char *offered; /* another data centre, where the access token lives; or NULL */
	const char *code;    /* the answer's, as a closed word; "" when nobody was asked */
	int maybe_done;      /* it was sent, and what became of it is not known */
};

/*
 * Whether a trial may begin now: the gates of the provider and the app, and the connection's share
 * of the provider's quota. Returns: ERR_RENEWAL_DEFERRED with the reason as the work's detail.
 */
enum err custody_trial_may_begin(
	struct work *w, const struct custody *c, struct custody_trial *trial) MUST_CHECK;

/*
 * Tries: a refresh token by a refresh, an access token alone by the definition's probe or by
 * introspection. Returns: ERR_TOKEN_REFUSED with what a person can do about it as the work's
 * detail; ERR_CANNOT_PROVE (an access token that nothing can prove), ERR_RENEWAL_DEFERRED (see
 * above, which it calls), ERR_PROVIDER_UNAVAILABLE, ERR_APP_MISSING and custody_app_at()'s. Owns:
 * the work.
 */
enum err custody_trial(
	struct work *w, const struct custody *c, struct custody_trial *trial) MUST_CHECK;

#endif
