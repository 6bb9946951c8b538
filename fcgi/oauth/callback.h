/* What the parameters of a callback are believed, before a byte leaves because of them. */
#ifndef VESTAL_OAUTH_CALLBACK_H
#define VESTAL_OAUTH_CALLBACK_H

#include "oauth/provider.h"

/*
 * The data centre a callback names. location and server: the values of the parameters that the
 * definition's callback_datacenter names; NULL or empty: absent. start: where the flow began; it
 * stays when nothing is said. Returns: ERR_DATACENTER_MISMATCH when a value is not of the table, or
 * the two disagree. Source: zoho.com/accounts/protocol/oauth/multi-dc.html
 */
enum err oauth_callback_datacenter(struct work *w, const struct oauth_provider *provider,
	const struct oauth_datacenter *start, const char *location, const char *server,
	const struct oauth_datacenter **datacenter) MUST_CHECK;

/*
 * Whether the callback comes from the issuer of the definition. iss: the parameter, NULL when
 * absent. Returns: ERR_ISSUER_MISMATCH. Source: RFC 9207 section 2.4.
 */
enum err oauth_callback_issuer(
	struct work *w, const struct oauth_provider *provider, const char *iss) MUST_CHECK;

#endif
