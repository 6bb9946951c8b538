/* Calls that prove a token or name its account. It decides what is asked; the verdict is outcome's.
 */
#include "oauth/probe.h"

#include "base/text.h"
#include "oauth/pointer.h"
#include "oauth/request.h"

#include <string.h>

static enum err get_with_token(struct work *w, const struct oauth_target *target,
	const char *template, const struct secret *access_token, struct oauth_http_request *request)
{
	enum err err = oauth_request_begin(w, target, OAUTH_METHOD_GET, template, 0, request);

	if (err)
		return err;
	request->scheme = target->provider->authorization_scheme;
	request->credential = access_token;
	return ERR_OK;
}

enum err oauth_probe_request(struct work *w, const struct oauth_target *target,
	const struct oauth_app *app, const struct secret *access_token,
	struct oauth_http_request *request, enum oauth_at *at)
{
	*at = target->provider->probe.url ? OAUTH_AT_PROBE : OAUTH_AT_INTROSPECT;
	if (target->provider->probe.url)
		return get_with_token(
			w, target, target->provider->probe.url, access_token, request);
	return oauth_token_request_introspect(w, target, app, access_token, request);
}

enum err oauth_probe_identity_request(struct work *w, const struct oauth_target *target,
	const struct secret *access_token, struct oauth_http_request *request)
{
	if (!target->provider->identity.url)
		return work_cause(w, ERR_NOT_FOUND, "no_identity_url");
	return get_with_token(w, target, target->provider->identity.url, access_token, request);
}

const char *oauth_probe_identity(struct work *w, const struct oauth_provider *provider,
	const struct oauth_http_answer *answer, const json_t *body)
{
	const json_t *value = provider->identity.pointer
				      ? oauth_pointer_get(body, provider->identity.pointer)
				      : NULL;
	const char *text = json_string_value(value);

	if (answer->transport != OAUTH_TRANSPORT_OK || answer->status < 200 || answer->status > 299)
		return NULL;
	if (json_is_integer(value))
		return work_printf(w, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	if (!text || !*text || strlen(text) > OAUTH_ACCOUNT_MAX_BYTES || text_has_control(text))
		return NULL;
	return work_strdup(w, text);
}
