/* Asking a provider, and what its verdict is to whoever asked. */
#ifndef VESTAL_CUSTODY_ASK_H
#define VESTAL_CUSTODY_ASK_H

#include "custody/app.h"
#include "oauth/outcome.h"
#include "oauth/token_response.h"

/*
 * Asks one question and judges the answer: ERR_OK whatever the verdict is. request->total_ms 0:
 * what the setting allows. *body: the answer as JSON, or NULL. Returns: ERR_BUG, ERR_NO_MEMORY.
 * Owns: the work.
 */
enum err custody_ask(struct work *w, const struct custody *c, const struct oauth_question *question,
	struct oauth_http_request *request, struct oauth_outcome *outcome,
	const json_t **body) MUST_CHECK;

/*
 * Exchanges a code. verifier NULL: the definition has no PKCE.
 * Returns: ERR_TOKEN_REFUSED, ERR_PROVIDER_UNAVAILABLE, ERR_CONFIG, ERR_NO_MEMORY.
 */
enum err custody_ask_code(struct work *w, const struct custody *c, const struct custody_app *app,
	const struct secret *code, const struct secret *verifier,
	struct oauth_token *token) MUST_CHECK;

/*
 * Proves an access token by the definition's probe; where there is none, the exchange was the
 * proof. ERR_OK: it lives (outcome->verdict is OAUTH_OK or OAUTH_SCOPE). Returns: as above.
 */
enum err custody_ask_probe(struct work *w, const struct custody *c, const struct custody_app *app,
	const struct secret *access, struct oauth_outcome *outcome) MUST_CHECK;

#endif
