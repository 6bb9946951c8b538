/* Where a definition lets requests go: its templates filled from one connection. It decides no more
 * than the address. */
#include "oauth/provider.h"

#include "base/text.h"
#include "oauth/address.h"
#include "oauth/url.h"

#include <string.h>

#define PARAM_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define WORD_BYTES "abcdefghijklmnopqrstuvwxyz0123456789_"

static const char *pair_value(struct oauth_pairs pairs, const char *name)
{
	for (size_t i = 0; i < pairs.count; i++)
		if (text_equal(pairs.items[i].name, name))
			return pairs.items[i].value;
	return NULL;
}

const char *oauth_datacenter_host(const struct oauth_datacenter *datacenter, const char *word)
{
	return datacenter ? pair_value(datacenter->hosts, word) : NULL;
}

int oauth_provider_is_param_value(const char *text)
{
	size_t n = strlen(text);

	return n >= 1 && n <= 128 && strspn(text, PARAM_BYTES) == n && !text_equal(text, ".") &&
	       !text_equal(text, "..");
}

static int is_param(const struct oauth_provider *provider, const char *word)
{
	for (size_t i = 0; i < provider->params.count; i++)
		if (text_equal(provider->params.items[i], word))
			return 1;
	return 0;
}

/* What a word stands for. Returns NULL and sets *reason when there is nothing, or nothing fit. */
static const char *word_value(
	const struct oauth_target *target, const char *word, const char **reason)
{
	const char *value = oauth_datacenter_host(target->datacenter, word);

	if (value && text_equal(word, "api") && target->api_domain &&
		oauth_provider_allows_api_domain(
			target->provider, target->datacenter, target->api_domain))
		return target->api_domain;
	if (value)
		return value;
	if (!is_param(target->provider, word) && !text_equal(word, "client_id")) {
		*reason = "has a word that neither the data centre nor params know";
		return NULL;
	}
	value = text_equal(word, "client_id") ? target->client_id
					      : pair_value(target->params, word);
	if (!value)
		*reason = "needs a param that the app does not have";
	else if (!oauth_provider_is_param_value(value))
		*reason = "has a param that fits no URL";
	else
		return value;
	return NULL;
}

/* Reads "{word}" at the start of a text. Returns its length with braces, or 0. */
static size_t read_word(const char *at, char word[65])
{
	size_t n = strspn(at + 1, WORD_BYTES);

	if (n < 1 || n > 64 || at[n + 1] != '}')
		return 0;
	memcpy(word, at + 1, n);
	word[n] = '\0';
	return n + 2;
}

static const char *append(char *out, size_t *len, const char *text, size_t n)
{
	if (n > OAUTH_URL_MAX_BYTES - *len)
		return "is longer than 2048 bytes";
	memcpy(out + *len, text, n);
	*len += n;
	out[*len] = '\0';
	return NULL;
}

static const char *fill(
	const struct oauth_target *target, const char *template, char out[OAUTH_URL_MAX_BYTES + 1])
{
	const char *reason = NULL;
	size_t len = 0;

	out[0] = '\0';
	while (*template && !reason) {
		size_t literal = strcspn(template, "{}"), braced;
		const char *value;
		char word[65];

		reason = append(out, &len, template, literal);
		template += literal;
		if (!*template || reason)
			continue;
		braced = *template == '{' ? read_word(template, word) : 0;
		if (!braced)
			return "has a brace that belongs to no {word}";
		value = word_value(target, word, &reason);
		if (value)
			reason = append(out, &len, value, strlen(value));
		template += braced;
	}
	return reason;
}

const char *oauth_provider_url_fault(const struct oauth_provider *provider, const char *url)
{
	struct oauth_url read;
	const char *reason = oauth_url_read(url, &read);

	if (reason)
		return reason;
	if (!read.https && !(provider->allow_loopback_http && oauth_url_is_loopback(&read)))
		return "is plain http (only for loopback hosts, with allow_loopback_http)";
	if (read.host_is_address && !oauth_url_is_loopback(&read) &&
		!oauth_address_text_is_public(read.host))
		return "is at a private or reserved address, where no request goes";
	return NULL;
}

const char *oauth_provider_fill(
	struct arena *arena, const struct oauth_target *target, const char *template, char **url)
{
	char out[OAUTH_URL_MAX_BYTES + 1];
	const char *reason = fill(target, template, out);

	if (!reason)
		reason = oauth_provider_url_fault(target->provider, out);
	if (!reason)
		*url = arena_strdup(arena, out);
	return reason;
}

enum err oauth_provider_url(
	struct work *w, const struct oauth_target *target, const char *template, char **url)
{
	const char *reason = oauth_provider_fill(&w->arena, target, template, url);

	if (reason)
		return work_fail(w, ERR_CONFIG, "an address of provider %s %s",
			target->provider->name, reason);
	return ERR_OK;
}

enum err oauth_provider_origin(
	struct work *w, const struct oauth_target *target, const char *template, char **origin)
{
	size_t scheme = text_starts(template, "https://")  ? 8
			: text_starts(template, "http://") ? 7
							   : 0;
	size_t n = scheme + strcspn(template + scheme, "/?");
	char *front = arena_strndup(&w->arena, template, n), *url = NULL;
	struct oauth_url read;
	enum err err = oauth_provider_url(w, target, front, &url);

	if (err)
		return err;
	if (oauth_url_read(url, &read) || !oauth_url_is_origin(url, &read))
		return work_fail(w, ERR_CONFIG, "an address of provider %s has no host",
			target->provider->name);
	*origin = url;
	return ERR_OK;
}

/* Whether a host is meant by a pattern: the host itself, or "*." and the end of it. */
static int host_matches(const char *host, const char *pattern)
{
	size_t host_len = strlen(host), end_len = strlen(pattern) - 1;

	if (!text_starts(pattern, "*."))
		return text_equal(host, pattern);
	return host_len > end_len && text_equal(host + host_len - end_len, pattern + 1);
}

int oauth_provider_allows_api_domain(const struct oauth_provider *provider,
	const struct oauth_datacenter *datacenter, const char *url)
{
	struct oauth_url read;

	if (oauth_url_read(url, &read) || !oauth_url_is_origin(url, &read) ||
		oauth_provider_url_fault(provider, url))
		return 0;
	if (text_equal(url, oauth_datacenter_host(datacenter, "api")))
		return 1;
	if (!read.https || read.host_is_address || read.port != 443)
		return 0;
	for (size_t i = 0; i < provider->api_domains.count; i++)
		if (host_matches(read.host, provider->api_domains.items[i]))
			return 1;
	return 0;
}
