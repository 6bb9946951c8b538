/* Builds the authorization URL. It decides the parameters and their order, not what they hold. */
#include "oauth/authorize.h"

#include "base/text.h"
#include "oauth/url.h"

#include <string.h>

#define URL_MAX_BYTES ((size_t)8 * 1024)

static void add_param(struct buf *url, const char *name, const char *value)
{
	char last = url->len ? url->data[url->len - 1] : '\0';

	if (last != '?' && last != '&')
		buf_char(url, strchr(url->data, '?') ? '&' : '?');
	text_percent_encode(url, name);
	buf_char(url, '=');
	text_percent_encode(url, value);
}

static const char *joined_scopes(struct work *w, const struct oauth_provider *provider)
{
	struct buf scopes;

	buf_init(&scopes, w, URL_MAX_BYTES);
	for (size_t i = 0; i < provider->scopes.count; i++) {
		if (i)
			buf_text(&scopes, provider->scope_separator);
		buf_text(&scopes, provider->scopes.items[i]);
	}
	return scopes.overflow ? NULL : scopes.data;
}

enum err oauth_authorize_url(struct work *w, const struct oauth_target *target,
	const struct oauth_app *app, const char *state, const char *challenge, char **url)
{
	const struct oauth_provider *provider = target->provider;
	const char *scopes = joined_scopes(w, provider);
	struct buf out;
	char *base;
	enum err err;

	if (!challenge != !provider->pkce)
		return work_cause(w, ERR_BUG, "pkce_challenge");
	err = oauth_provider_url(w, target, provider->authorize_url, &base);
	if (err)
		return err;
	buf_init(&out, w, URL_MAX_BYTES);
	buf_text(&out, base);
	add_param(&out, "response_type", "code");
	add_param(&out, "client_id", app->client_id);
	add_param(&out, "redirect_uri", app->redirect_uri);
	if (scopes && *scopes)
		add_param(&out, "scope", scopes);
	add_param(&out, "state", state);
	if (challenge) {
		add_param(&out, "code_challenge", challenge);
		add_param(&out, "code_challenge_method", "S256");
	}
	for (size_t i = 0; i < provider->authorize_params.count; i++)
		add_param(&out, provider->authorize_params.items[i].name,
			provider->authorize_params.items[i].value);
	if (!scopes || out.overflow)
		return work_fail(w, ERR_CONFIG, "the authorization URL of provider %s is too long",
			provider->name);
	*url = out.data;
	return ERR_OK;
}
