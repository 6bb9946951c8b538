/* The address an administrator's browser is sent to. Source: RFC 6749 section 4.1.1, RFC 7636
 * section 4.3. */
#ifndef VESTAL_OAUTH_AUTHORIZE_H
#define VESTAL_OAUTH_AUTHORIZE_H

#include "oauth/provider.h"
#include "oauth/token_request.h"

/*
 * The authorization URL. challenge: base64url(SHA-256(verifier)), or NULL where the definition has
 * no PKCE. Returns: ERR_CONFIG; ERR_BUG when the challenge does not suit the definition. Owns: the
 * work.
 */
enum err oauth_authorize_url(struct work *w, const struct oauth_target *target,
	const struct oauth_app *app, const char *state, const char *challenge,
	char **url) MUST_CHECK;

#endif
