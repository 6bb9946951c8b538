/* What every request to a provider has, whoever fills in the rest. */
#ifndef VESTAL_OAUTH_REQUEST_H
#define VESTAL_OAUTH_REQUEST_H

#include "oauth/http.h"
#include "oauth/provider.h"

/*
 * An empty request to a template of the target's definition: address, the origin it is bound to,
 * and headers. with_definition: whether the definition's own headers belong to it (token,
 * revocation, introspection). Returns: ERR_CONFIG. Owns: the work.
 */
enum err oauth_request_begin(struct work *w, const struct oauth_target *target,
	enum oauth_method method, const char *template, int with_definition,
	struct oauth_http_request *request) MUST_CHECK;

#endif
