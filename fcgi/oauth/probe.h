/* Whether a token lives, and whose it is. */
#ifndef VESTAL_OAUTH_PROBE_H
#define VESTAL_OAUTH_PROBE_H

#include "oauth/http.h"
#include "oauth/provider.h"
#include "oauth/token_request.h"

#include <jansson.h>

#define OAUTH_ACCOUNT_MAX_BYTES 256

/*
 * The cheap call that proves an access token: the definition's probe, else introspection. *at says
 * where the answer is to be judged (OAUTH_AT_PROBE, OAUTH_AT_INTROSPECT). Returns: ERR_NOT_FOUND
 * when the definition has neither, so that only the exchange proves anything; ERR_CONFIG;
 * ERR_NO_MEMORY. Owns: the work; the request refers to access_token.
 */
enum err oauth_probe_request(struct work *w, const struct oauth_target *target,
	const struct oauth_app *app, const struct secret *access_token,
	struct oauth_http_request *request, enum oauth_at *at) MUST_CHECK;

/* The call that says whose account it is. Returns: ERR_NOT_FOUND when the definition names none;
 * ERR_CONFIG. */
enum err oauth_probe_identity_request(struct work *w, const struct oauth_target *target,
	const struct secret *access_token, struct oauth_http_request *request) MUST_CHECK;

/* The account in a 2xx answer to it (a text or a whole number), or NULL. Owns: the work. */
const char *oauth_probe_identity(struct work *w, const struct oauth_provider *provider,
	const struct oauth_http_answer *answer, const json_t *body);

#endif
