/* Judges what a callback says of where it comes from. Only the definition is believed, and what
 * matches it exactly. */
#include "oauth/callback.h"

#include "base/text.h"

static int given(const char *value)
{
	return value && *value;
}

static int is_server_of(const struct oauth_datacenter *datacenter, const char *server)
{
	return text_equal(oauth_datacenter_host(datacenter, "accounts"), server);
}

/* The data centre of an accounts server. Several may share one; the flow's own goes first. */
static const struct oauth_datacenter *by_server(const struct oauth_provider *provider,
	const struct oauth_datacenter *start, const char *server)
{
	if (is_server_of(start, server))
		return start;
	for (size_t i = 0; i < provider->datacenter_count; i++)
		if (is_server_of(&provider->datacenters[i], server))
			return &provider->datacenters[i];
	return NULL;
}

enum err oauth_callback_datacenter(struct work *w, const struct oauth_provider *provider,
	const struct oauth_datacenter *start, const char *location, const char *server,
	const struct oauth_datacenter **datacenter)
{
	int has_location = provider->callback_datacenter.location && given(location);
	int has_server = provider->callback_datacenter.server && given(server);
	const struct oauth_datacenter *found = start;

	if (has_location)
		found = oauth_provider_datacenter(provider, location);
	else if (has_server)
		found = by_server(provider, start, server);
	if ((has_location || has_server) && !found)
		return work_fail(w, ERR_DATACENTER_MISMATCH,
			"the callback names a data centre that is not known");
	if (has_server && !is_server_of(found, server))
		return work_fail(w, ERR_DATACENTER_MISMATCH,
			"the callback's data centre and accounts server disagree");
	*datacenter = found;
	return ERR_OK;
}

enum err oauth_callback_issuer(
	struct work *w, const struct oauth_provider *provider, const char *iss)
{
	if (!provider->issuer)
		return ERR_OK;
	if (!iss && !provider->require_iss)
		return ERR_OK;
	if (!iss)
		return work_fail(w, ERR_ISSUER_MISMATCH, "the callback does not name its issuer");
	if (!text_equal(iss, provider->issuer))
		return work_fail(w, ERR_ISSUER_MISMATCH, "the callback comes from another issuer");
	return ERR_OK;
}
