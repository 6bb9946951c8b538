/* Reads token answers. It decides what can be a token and how long it lives; what an error means is
 * outcome's. */
#include "oauth/token_response.h"

#include "base/text.h"
#include "oauth/pointer.h"

#include <string.h>
#include <strings.h>

#define SCOPE_MAX_BYTES ((size_t)8 * 1024)
#define DAY_S 86400

static const json_t *member(const json_t *body, const char *pointer, const char *name)
{
	return pointer ? oauth_pointer_get(body, pointer) : json_object_get(body, name);
}

/* An empty text counts as absent, null too. */
static int is_absent(const json_t *value)
{
	return !value || json_is_null(value) ||
	       (json_is_string(value) && !json_string_length(value));
}

/* Source: RFC 6749 appendix A.12 and A.17. */
static int is_token(const json_t *value)
{
	const char *text = json_string_value(value);

	if (!text || json_string_length(value) > OAUTH_TOKEN_MAX_BYTES)
		return 0;
	for (; *text; text++)
		if (*text < 0x20 || *text > 0x7e)
			return 0;
	return 1;
}

/* A type that is not understood must not be used; its case means nothing. Source: RFC 6749
 * section 7.1. */
static int is_known_type(const struct oauth_provider *provider, const json_t *value)
{
	const char *type = json_string_value(value);

	return type &&
	       (strcasecmp(type, "Bearer") == 0 || strcasecmp(type, "Zoho-oauthtoken") == 0 ||
		       strcasecmp(type, provider->authorization_scheme) == 0);
}

const char *oauth_token_response_fault(const struct oauth_provider *provider, const json_t *body)
{
	const struct oauth_response_pointers *at = &provider->response;
	const json_t *access = member(body, at->access_token, "access_token");
	const json_t *refresh = member(body, at->refresh_token, "refresh_token");
	const json_t *type = member(body, at->token_type, "token_type");

	if (!json_is_object(body))
		return "no_json";
	if (!is_absent(json_object_get(body, "error")))
		return "error";
	if (json_is_false(json_object_get(body, "ok")))
		return "not_ok";
	if (is_absent(access))
		return "no_access_token";
	if (!is_token(access))
		return "bad_access_token";
	if (!is_absent(refresh) && !is_token(refresh))
		return "bad_refresh_token";
	if (!is_absent(type) && !is_known_type(provider, type))
		return "unknown_token_type";
	return NULL;
}

/* A whole number of seconds from an integer, a float or a text of digits; -1 for anything else. */
static int64_t seconds(const json_t *value)
{
	double real = json_real_value(value);
	int64_t number;

	if (json_is_integer(value))
		return json_integer_value(value) > 0 ? json_integer_value(value) : -1;
	if (json_is_real(value))
		return real >= 1 && real < 1e15 ? (int64_t)real : -1;
	if (json_is_string(value) && text_to_int(json_string_value(value), 1, INT64_MAX, &number))
		return number;
	return -1;
}

static int64_t plausible(int64_t value_s)
{
	return value_s >= 1 && value_s <= OAUTH_TOKEN_LONGEST_S ? value_s : -1;
}

/*
 * A lifetime that was meant in milliseconds: exactly a thousand times what the definition expects,
 * or more than a day and a hundred times the expectation, while its thousandth is near the
 * expectation. Seconds never look like that: the longest access tokens are those of definitions
 * that say so. Source: Zoho's legacy form, zoho.com.cn/writer/help/api/v1/oauth-step4.html
 */
static int is_in_ms(int64_t value, int64_t access_ttl_s)
{
	if (value == access_ttl_s * 1000)
		return 1;
	return value > DAY_S && value / 100 > access_ttl_s && value / 1000 <= 2 * access_ttl_s;
}

static int64_t access_lifetime(const struct oauth_provider *provider, const json_t *body)
{
	const json_t *named = member(body, provider->response.expires_in, "expires_in");
	int64_t in_seconds = provider->response.expires_in
				     ? -1
				     : seconds(json_object_get(body, "expires_in_sec"));
	int64_t value = seconds(named);

	if (plausible(in_seconds) > 0)
		return in_seconds;
	if (is_in_ms(value, provider->access_ttl_s))
		value /= 1000;
	if (plausible(value) > 0)
		return value;
	return provider->expires ? provider->access_ttl_s : -1;
}

/* A list of scopes is a text; some providers send an array. What is neither, or unfit to show, is
 * not kept. */
static const char *read_scope(struct work *w, const json_t *value)
{
	struct buf scope;

	if (!is_absent(value) && json_is_string(value) &&
		json_string_length(value) <= SCOPE_MAX_BYTES &&
		!text_has_control(json_string_value(value)))
		return work_strdup(w, json_string_value(value));
	if (!json_is_array(value) || !json_array_size(value))
		return NULL;
	buf_init(&scope, w, SCOPE_MAX_BYTES);
	for (size_t i = 0; i < json_array_size(value); i++) {
		const char *text = json_string_value(json_array_get(value, i));

		if (!text || text_has_control(text))
			return NULL;
		if (i)
			buf_char(&scope, ' ');
		buf_text(&scope, text);
	}
	return scope.overflow ? NULL : scope.data;
}

static void read_api_domain(struct work *w, const struct oauth_provider *provider,
	const struct oauth_datacenter *datacenter, const json_t *body, struct oauth_token *token)
{
	const json_t *value = provider->response.api_domain
				      ? oauth_pointer_get(body, provider->response.api_domain)
				      : NULL;
	const char *domain = json_string_value(value);

	if (is_absent(value))
		return;
	if (domain && oauth_provider_allows_api_domain(provider, datacenter, domain))
		token->api_domain = work_strdup(w, domain);
	else
		token->api_domain_refused = 1;
}

static struct secret *to_secret(struct work *w, const json_t *value)
{
	return secret_new(w, json_string_value(value), json_string_length(value));
}

enum err oauth_token_response_read(struct work *w, const struct oauth_provider *provider,
	const struct oauth_datacenter *datacenter, const json_t *body, struct oauth_token *token)
{
	const struct oauth_response_pointers *at = &provider->response;
	const char *fault = oauth_token_response_fault(provider, body);
	const json_t *refresh, *type;

	*token = (struct oauth_token){.expires_in_s = -1, .refresh_expires_in_s = -1};
	if (fault)
		return work_cause(w, ERR_TOKEN_REFUSED, "%s", fault);
	refresh = member(body, at->refresh_token, "refresh_token");
	type = member(body, at->token_type, "token_type");
	token->access = to_secret(w, member(body, at->access_token, "access_token"));
	if (!is_absent(refresh))
		token->refresh = to_secret(w, refresh);
	if (!token->access || (!is_absent(refresh) && !token->refresh))
		return work_cause(w, ERR_NO_MEMORY, "secure_heap");
	token->token_type = is_absent(type) ? "Bearer" : work_strdup(w, json_string_value(type));
	token->expires_in_s = access_lifetime(provider, body);
	if (at->refresh_expires_in)
		token->refresh_expires_in_s =
			plausible(seconds(oauth_pointer_get(body, at->refresh_expires_in)));
	token->scope = read_scope(w, member(body, at->scope, "scope"));
	read_api_domain(w, provider, datacenter, body, token);
	return ERR_OK;
}
