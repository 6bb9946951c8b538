/* The rules between the keys of a definition. Each function looks at one matter and adds what is
 * wrong with it. */
#include "oauth/provider_check.h"

#include "base/text.h"
#include "oauth/url.h"

#include <string.h>
#include <strings.h>

#define TOKEN_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"

struct check {
	struct arena *arena;
	struct oauth_faults *faults;
	size_t first, end; /* the faults of the reading */
	const struct oauth_provider *p;
};

#define FAULT(c, key, ...) oauth_faults_add((c)->faults, (c)->p->file, key, __VA_ARGS__)

/* Whether a key, or something in it, could not be read: nothing follows from its absence. */
static int is_unread(const struct check *c, const char *key)
{
	return oauth_faults_concern(c->faults, c->first, c->end, key);
}

/* The key of a list's item; of the list where items that could not be read are missing. */
static const char *item_key(const struct check *c, const char *list, size_t i)
{
	return is_unread(c, list) ? list : arena_printf(c->arena, "%s[%zu]", list, i);
}

static int is_datacenter_unread(const struct check *c, const struct oauth_datacenter *dc)
{
	return is_unread(c, arena_printf(c->arena, "datacenters.%s", dc->name));
}

/* A token of HTTP. Source: RFC 9110 section 5.6.2. */
static int is_http_token(const char *text)
{
	return *text && strspn(text, TOKEN_BYTES) == strlen(text);
}

static int is_one_of(const char *const *list, const char *word)
{
	for (; *list; list++)
		if (strcasecmp(*list, word) == 0)
			return 1;
	return 0;
}

static void check_hosts(struct check *c, const struct oauth_datacenter *dc)
{
	for (size_t i = 0; i < dc->hosts.count; i++) {
		const struct oauth_pair *host = &dc->hosts.items[i];
		const char *key = arena_printf(c->arena, "datacenters.%s.%s", dc->name, host->name);
		const char *reason = oauth_provider_url_fault(c->p, host->value);
		struct oauth_url url;

		if (!text_is_name(host->name))
			FAULT(c, key, "is no name of [a-z0-9_]{1,64}");
		if (text_equal(host->name, "client_id"))
			FAULT(c, key, "is a word that always is the app's");
		if (reason)
			FAULT(c, key, "%s", reason);
		else if (!oauth_url_read(host->value, &url) &&
			 !oauth_url_is_origin(host->value, &url))
			FAULT(c, key, "has more than scheme, host and port");
		for (size_t k = 0; k < c->p->params.count; k++)
			if (text_equal(c->p->params.items[k], host->name))
				FAULT(c, key, "is a word of params too");
	}
}

static void check_datacenters(struct check *c, struct oauth_provider *provider)
{
	const char *chosen = provider->default_datacenter_name;

	for (size_t i = 0; i < provider->datacenter_count; i++)
		check_hosts(c, &provider->datacenters[i]);
	if (chosen) {
		provider->default_datacenter = oauth_provider_datacenter(provider, chosen);
		if (!provider->default_datacenter &&
			(provider->datacenter_count || !is_unread(c, "datacenters")))
			FAULT(c, "default_datacenter", "is not in datacenters");
	} else if (provider->datacenter_count == 1)
		provider->default_datacenter = &provider->datacenters[0];
	else if (provider->datacenter_count > 1 && !is_unread(c, "default_datacenter"))
		FAULT(c, "default_datacenter", "is missing");
}

/* Whether a template's words are all known, as far as they come from what could be read. */
static int can_fill(
	const struct check *c, const char *template, const struct oauth_datacenter *datacenter)
{
	if (!strchr(template, '{'))
		return 1;
	return !is_unread(c, "params") &&
	       !(datacenter ? is_datacenter_unread(c, datacenter) : is_unread(c, "datacenters"));
}

/* A template has to make a good URL in every data centre, one without words anywhere; a param
 * stands in as any value would. */
static void check_template(struct check *c, const char *key, const char *template)
{
	struct oauth_pair samples[OAUTH_LIST_MAX + 1];
	struct oauth_target target = {
		.provider = c->p, .client_id = "x", .params = {samples, c->p->params.count}};
	size_t i = 0, count;
	char *url;

	if (!template)
		return;
	count = strchr(template, '{') ? c->p->datacenter_count : 0;
	for (size_t k = 0; k < c->p->params.count; k++)
		samples[k] = (struct oauth_pair){c->p->params.items[k], "x"};
	do {
		const char *reason = NULL;

		target.datacenter = i < count ? &c->p->datacenters[i] : NULL;
		if (can_fill(c, template, target.datacenter))
			reason = oauth_provider_fill(c->arena, &target, template, &url);
		if (reason && target.datacenter)
			FAULT(c, key, "%s (data centre %s)", reason, target.datacenter->name);
		else if (reason)
			FAULT(c, key, "%s", reason);
	} while (++i < count);
}

static void check_addresses(struct check *c)
{
	const struct oauth_provider *p = c->p;

	check_template(c, "authorize_url", p->authorize_url);
	check_template(c, "token_url", p->token_url);
	check_template(c, "revoke_url", p->revoke_url);
	check_template(c, "introspect_url", p->introspect_url);
	check_template(c, "probe.url", p->probe.url);
	check_template(c, "identity.url", p->identity.url);
	for (size_t i = 0; i < p->params.count; i++)
		if (!text_is_name(p->params.items[i]))
			FAULT(c, item_key(c, "params", i), "is no name of [a-z0-9_]{1,64}");
		else if (text_equal(p->params.items[i], "client_id"))
			FAULT(c, item_key(c, "params", i), "always is the app's");
}

static void check_callback(struct check *c)
{
	static const char *const ours[] = {"code", "state", "error", "iss", NULL};
	const struct oauth_callback_names *names = &c->p->callback_datacenter;

	if ((names->location || names->server) && !c->p->datacenter_count &&
		!is_unread(c, "datacenters"))
		FAULT(c, "callback_datacenter", "means nothing without datacenters");
	for (size_t i = 0; names->server && i < c->p->datacenter_count; i++)
		if (!oauth_datacenter_host(&c->p->datacenters[i], "accounts") &&
			!is_datacenter_unread(c, &c->p->datacenters[i]))
			FAULT(c, "callback_datacenter.server",
				"needs the word accounts in data centre %s",
				c->p->datacenters[i].name);
	if ((names->location && is_one_of(ours, names->location)) ||
		(names->server && is_one_of(ours, names->server)))
		FAULT(c, "callback_datacenter", "names a parameter that has a meaning of its own");
	for (size_t i = 0; i < c->p->callback_keep.count; i++)
		if (is_one_of(ours, c->p->callback_keep.items[i]))
			FAULT(c, item_key(c, "callback_keep", i),
				"names a parameter that has a meaning of its own");
}

static void check_issuer(struct check *c)
{
	const char *reason = c->p->issuer ? oauth_provider_url_fault(c->p, c->p->issuer) : NULL;

	if (reason)
		FAULT(c, "issuer", "%s", reason);
	if (!c->p->issuer && c->p->require_iss && !is_unread(c, "issuer"))
		FAULT(c, "require_iss", "means nothing without issuer");
}

/* Source: RFC 6749 section 3.3. */
static int is_scope(const char *text)
{
	for (; *text; text++)
		if (*text <= 0x20 || *text == 0x7f || *text == '"' || *text == '\\')
			return 0;
	return 1;
}

static void check_authorization(struct check *c)
{
	static const char *const ours[] = {"response_type", "client_id", "redirect_uri", "scope",
		"state", "code_challenge", "code_challenge_method", NULL};
	const struct oauth_provider *p = c->p;

	if (strlen(p->scope_separator) > 4)
		FAULT(c, "scope_separator", "is longer than 4 bytes");
	for (size_t i = 0; i < p->scopes.count; i++)
		if (!is_scope(p->scopes.items[i]))
			FAULT(c, item_key(c, "scopes", i),
				"has a byte that RFC 6749 does not allow");
		else if (strstr(p->scopes.items[i], p->scope_separator))
			FAULT(c, item_key(c, "scopes", i), "holds the separator");
	for (size_t i = 0; i < p->authorize_params.count; i++)
		if (is_one_of(ours, p->authorize_params.items[i].name))
			FAULT(c,
				arena_printf(c->arena, "authorize_params.%s",
					p->authorize_params.items[i].name),
				"is set by the flow");
	if (!is_http_token(p->authorization_scheme))
		FAULT(c, "authorization_scheme", "is no word that a header can hold");
}

static void check_headers(struct check *c)
{
	static const char *const ours[] = {"authorization", "host", "content-length",
		"content-type", "transfer-encoding", "connection", "cookie", "expect",
		"accept-encoding", "te", "upgrade", NULL};

	for (size_t i = 0; i < c->p->headers.count; i++) {
		const struct oauth_pair *header = &c->p->headers.items[i];
		const char *key = arena_printf(c->arena, "headers.%s", header->name);

		if (!is_http_token(header->name))
			FAULT(c, key, "is a name that no header has");
		else if (is_one_of(ours, header->name))
			FAULT(c, key, "is set by the request");
		for (const char *at = header->value; *at; at++)
			if ((unsigned char)*at > 0x7e) {
				FAULT(c, key, "has a value that is not ASCII");
				break;
			}
	}
}

/* "*." may stand for the first labels of a host, and two more have to follow: nobody owns all of
 * "*.com". */
static int is_host_pattern(const char *pattern)
{
	const char *host = text_starts(pattern, "*.") ? pattern + 2 : pattern;
	char text[8 + OAUTH_HOST_MAX_BYTES + 1] = "https://";
	struct oauth_url url;

	if (strlen(host) > OAUTH_HOST_MAX_BYTES)
		return 0;
	memcpy(text + 8, host, strlen(host) + 1);
	return !oauth_url_read(text, &url) && text_equal(url.host, host) && !url.host_is_address &&
	       strchr(host, '.');
}

static void check_api_domains(struct check *c)
{
	int any = c->p->api_domains.count > 0 || is_unread(c, "api_domains") ||
		  is_unread(c, "datacenters");

	for (size_t i = 0; i < c->p->api_domains.count; i++)
		if (!is_host_pattern(c->p->api_domains.items[i]))
			FAULT(c, item_key(c, "api_domains", i),
				"is no host, nor *. before one of two labels");
	for (size_t i = 0; i < c->p->datacenter_count; i++)
		any |= oauth_datacenter_host(&c->p->datacenters[i], "api") != NULL;
	if (c->p->response.api_domain && !any)
		FAULT(c, "response.api_domain",
			"is never believed: neither datacenters nor api_domains allow one");
}

static void check_times(struct check *c, int64_t refresh_period_s)
{
	const struct oauth_provider *p = c->p;

	/* neither is 0 when it was read */
	if (!p->expires || is_unread(c, "expires") || !p->renew_before_s)
		return;
	if (p->renew_before_s <= refresh_period_s)
		FAULT(c, "renew_before_s", "is not larger than refresh_period_s, %lld",
			(long long)refresh_period_s);
	if (!p->access_ttl_s)
		return;
	if (p->renew_before_s >= p->access_ttl_s)
		FAULT(c, "renew_before_s", "is not smaller than access_ttl_s");
	else if (p->access_ttl_s / 3 < p->renew_before_s)
		oauth_faults_warn(c->faults, p->file, "renew_before_s",
			"is more than a third of access_ttl_s: the third counts, %lld",
			(long long)(p->access_ttl_s / 3));
}

static void check_rule(struct check *c, size_t i)
{
	const struct oauth_rule *rule = &c->p->rules[i];
	const char *key = arena_printf(c->arena, "verdicts[%zu]", i);

	if (rule->grant != OAUTH_GRANT_ANY && rule->at != OAUTH_AT_TOKEN)
		FAULT(c, key, "has a grant, which only the token endpoint knows");
	if (rule->equals && !rule->pointer)
		FAULT(c, key, "has equals without pointer");
	if (rule->body_empty && rule->pointer)
		FAULT(c, key, "wants an empty body and something in it");
	if (!rule->status_count && !rule->pointer && !rule->body_empty)
		FAULT(c, key, "has no condition");
}

void oauth_provider_check(struct arena *arena, int64_t refresh_period_s,
	struct oauth_faults *faults, size_t first, struct oauth_provider *provider)
{
	struct check c = {arena, faults, first, faults->count, provider};

	if (is_unread(&c, "allow_loopback_http"))
		provider->allow_loopback_http = 1;
	check_datacenters(&c, provider);
	check_addresses(&c);
	check_callback(&c);
	check_issuer(&c);
	check_authorization(&c);
	check_headers(&c);
	check_api_domains(&c);
	check_times(&c, refresh_period_s);
	for (size_t i = 0; i < provider->rule_count; i++)
		check_rule(&c, i);
}
