/* A token answer as values that can be trusted in shape, if in nothing else. Source: RFC 6749
 * section 5.1. */
#ifndef VESTAL_OAUTH_TOKEN_RESPONSE_H
#define VESTAL_OAUTH_TOKEN_RESPONSE_H

#include "base/secret.h"
#include "oauth/provider.h"

#include <jansson.h>

#define OAUTH_TOKEN_MAX_BYTES ((size_t)16 * 1024)
#define OAUTH_TOKEN_LONGEST_S ((int64_t)10 * 366 * 86400)

struct oauth_token {
	struct secret *access;
	struct secret *refresh;       /* NULL: not given, keep the old one */
	const char *token_type;       /* as the answer spelled it; "Bearer" when it did not */
	int64_t expires_in_s;         /* -1: without end */
	int64_t refresh_expires_in_s; /* -1: not said */
	const char *scope;            /* NULL: as requested */
	const char *api_domain;       /* NULL: none, or none that is allowed */
	int api_domain_refused;       /* the answer named one that is not allowed */
};

/*
 * Why a body is no token answer, as a closed word, or NULL when it is one: "no_json", "error",
 * "not_ok", "no_access_token", "bad_access_token", "bad_refresh_token", "unknown_token_type".
 */
const char *oauth_token_response_fault(const struct oauth_provider *provider, const json_t *body);

/*
 * Reads a body that has no fault. The lifetime is the answer's, in seconds even where a provider
 * means milliseconds, else the definition's access_ttl_s. Returns: ERR_TOKEN_REFUSED when it has a
 * fault after all, ERR_NO_MEMORY when the secure heap is full. Owns: the work.
 */
enum err oauth_token_response_read(struct work *w, const struct oauth_provider *provider,
	const struct oauth_datacenter *datacenter, const json_t *body,
	struct oauth_token *token) MUST_CHECK;

#endif
