/* Requests that carry the app's credentials: code, refresh, revocation, introspection, and the
 * app's own proof. */
#ifndef VESTAL_OAUTH_TOKEN_REQUEST_H
#define VESTAL_OAUTH_TOKEN_REQUEST_H

#include "base/secret.h"
#include "oauth/http.h"
#include "oauth/provider.h"

struct oauth_app {
	const char *client_id;
	const struct secret *client_secret; /* NULL: a public client */
	const char *redirect_uri;
};

/* All of these fill *request, whose parts belong to the work. Returns: ERR_CONFIG (see
 * oauth_provider_url), ERR_NO_MEMORY when the secure heap is full. total_ms is left 0 for the
 * caller. */

/* Exchanges a code. verifier: NULL where the definition has no PKCE. Source: RFC 6749
 * section 4.1.3. */
enum err oauth_token_request_code(struct work *w, const struct oauth_target *target,
	const struct oauth_app *app, const struct secret *code, const struct secret *verifier,
	struct oauth_http_request *request) MUST_CHECK;

/* Renews. Source: RFC 6749 section 6. */
enum err oauth_token_request_refresh(struct work *w, const struct oauth_target *target,
	const struct oauth_app *app, const struct secret *refresh_token,
	struct oauth_http_request *request) MUST_CHECK;

/*
 * Revokes a token. hint: "refresh_token", "access_token" or NULL.
 * Returns also: ERR_NOT_FOUND when the definition has no revoke_url. Source: RFC 7009 section 2.1.
 */
enum err oauth_token_request_revoke(struct work *w, const struct oauth_target *target,
	const struct oauth_app *app, const struct secret *token, const char *hint,
	struct oauth_http_request *request) MUST_CHECK;

/* Asks what a token is. Returns also: ERR_NOT_FOUND without introspect_url. Source: RFC 7662
 * section 2.1. */
enum err oauth_token_request_introspect(struct work *w, const struct oauth_target *target,
	const struct oauth_app *app, const struct secret *token,
	struct oauth_http_request *request) MUST_CHECK;

/*
 * Exchanges a code that nobody issued: judged as a code, DEAD says that the app's credentials are
 * good and APP that they are not. It touches no grant.
 */
enum err oauth_token_request_app_proof(struct work *w, const struct oauth_target *target,
	const struct oauth_app *app, struct oauth_http_request *request) MUST_CHECK;

#endif
