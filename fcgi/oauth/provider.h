/*
 * What is known of a provider before it is asked anything: its definition, one JSON file each,
 * built-in or the operator's. Loaded once, checked hard, never changed afterwards.
 */
#ifndef VESTAL_OAUTH_PROVIDER_H
#define VESTAL_OAUTH_PROVIDER_H

#include "oauth/faults.h"

#define OAUTH_PROVIDER_MAX_BYTES ((size_t)256 * 1024)
#define OAUTH_LIST_MAX 100 /* of anything in a definition */

struct oauth_pair {
	const char *name, *value;
};

struct oauth_pairs {
	const struct oauth_pair *items;
	size_t count;
};

struct oauth_words {
	const char *const *items;
	size_t count;
};

/* A data centre: words that stand for the only origins ever contacted there. */
struct oauth_datacenter {
	const char *name;
	struct oauth_pairs hosts; /* "accounts" -> "https://accounts.zoho.eu" */
};

enum oauth_client_auth {
	OAUTH_CLIENT_AUTH_NONE,
	OAUTH_CLIENT_AUTH_POST,
	OAUTH_CLIENT_AUTH_BASIC,
	OAUTH_CLIENT_AUTH_BASIC_RAW,
};

enum oauth_rotation { OAUTH_ROTATION_NEVER, OAUTH_ROTATION_SOMETIMES, OAUTH_ROTATION_ALWAYS };

enum oauth_method { OAUTH_METHOD_GET, OAUTH_METHOD_POST, OAUTH_METHOD_DELETE };

enum oauth_encoding { OAUTH_ENCODING_FORM, OAUTH_ENCODING_JSON };

/*
 * What an answer means. At the token endpoint DEAD is the grant, at the probe only the access
 * token. At revocation OK is accepted, DEAD is gone already, DEAD_OR_APP is unconfirmed, RETRY is
 * pending.
 */
enum oauth_verdict {
	OAUTH_OK,
	OAUTH_DEAD,
	OAUTH_APP,
	OAUTH_DEAD_OR_APP,
	OAUTH_RATE,
	OAUTH_SCOPE,
	OAUTH_RETRY,
};

/* Where the answer came from. The rules of a definition speak of the first three. */
enum oauth_at { OAUTH_AT_TOKEN, OAUTH_AT_PROBE, OAUTH_AT_REVOKE, OAUTH_AT_INTROSPECT };

enum oauth_grant { OAUTH_GRANT_ANY, OAUTH_GRANT_CODE, OAUTH_GRANT_REFRESH };

#define OAUTH_RULE_STATUS_MAX 16

struct oauth_rule {
	enum oauth_at at;
	enum oauth_grant grant;
	int statuses[OAUTH_RULE_STATUS_MAX];
	size_t status_count; /* 0: any but 3xx, 429 and 5xx */
	const char *pointer; /* NULL: not asked */
	const char *equals;  /* a text, or a number or boolean as text; NULL: something is there */
	int body_empty;
	enum oauth_verdict verdict;
};

/* JSON pointers into a token answer; NULL: RFC 6749's name, or nothing where it has none. */
struct oauth_response_pointers {
	const char *access_token, *refresh_token, *token_type, *expires_in, *refresh_expires_in;
	const char *scope, *api_domain;
};

struct oauth_revoke {
	enum oauth_method method;
	enum oauth_encoding encoding;
	enum oauth_client_auth auth;
	const char *field;
};

struct oauth_mint_quota {
	int64_t count; /* 0: none known */
	int64_t window_s;
};

struct oauth_probe {
	const char *url, *expect; /* both NULL: no probe */
};

struct oauth_identity {
	const char *url, *pointer; /* both NULL: not known */
};

/* The names of the callback's parameters that say the data centre; NULL: none. */
struct oauth_callback_names {
	const char *location, *server;
};

/* Texts that may be NULL say so; URLs are templates (see oauth_provider_url). Source: each
 * definition's "docs". */
struct oauth_provider {
	const char *file; /* where it was read */
	const char
		*version; /* tells two texts of a definition apart; no protection against forgers */
	const char *name;
	const char *title; /* the name when not given */
	const char *docs;  /* or NULL */
	const char *authorize_url, *token_url;
	const char *revoke_url, *introspect_url; /* or NULL */
	int allow_loopback_http;
	const char *issuer; /* or NULL */
	int require_iss;
	const struct oauth_datacenter *datacenters; /* in name order */
	size_t datacenter_count;
	const char *default_datacenter_name;
	const struct oauth_datacenter *default_datacenter; /* NULL: the provider has none */
	struct oauth_callback_names callback_datacenter;
	struct oauth_words scopes;
	const char *scope_separator;
	struct oauth_pairs authorize_params;
	enum oauth_client_auth client_auth;
	int pkce;
	const char *authorization_scheme;
	struct oauth_words params;
	struct oauth_pairs headers;
	struct oauth_words callback_keep;
	struct oauth_response_pointers response;
	struct oauth_words api_domains;
	struct oauth_revoke revoke;
	enum oauth_rotation rotation;
	int64_t reuse_grace_s;
	int expires;
	int64_t confirm_dead_s;
	int64_t access_ttl_s, renew_before_s;
	int64_t grant_ttl_s, idle_ttl_s; /* 0: no end known */
	int64_t grants_per_user;         /* 0: no cap known */
	struct oauth_mint_quota mint_quota;
	struct oauth_probe probe;
	struct oauth_identity identity;
	const struct oauth_rule *rules;
	size_t rule_count;
};

struct oauth_providers;

/*
 * Reads every *.json of both folders; a file is called after the provider it defines, and the
 * operator's wins. operator_dir may be NULL or absent. refresh_period_s: how often the refresher
 * runs. Returns NULL when faults->errors is not 0. Owns: the arena.
 */
struct oauth_providers *oauth_providers_load(struct arena *arena, const char *builtin_dir,
	const char *operator_dir, int64_t refresh_period_s, struct oauth_faults *faults);

/* How many there are, and the one at a place in the order of names. */
size_t oauth_providers_count(const struct oauth_providers *providers);
const struct oauth_provider *oauth_providers_at(
	const struct oauth_providers *providers, size_t place);

/* A provider by its name, or NULL. */
const struct oauth_provider *oauth_provider_find(
	const struct oauth_providers *providers, const char *name);

/*
 * Reads and checks one file, which may be called anything when any_name is set.
 * Returns NULL after adding what is wrong to faults. Owns: the arena.
 */
const struct oauth_provider *oauth_provider_load(struct arena *arena, const char *path,
	int any_name, int64_t refresh_period_s, struct oauth_faults *faults);

/* The same for the text of one, n bytes; file: what faults call it. */
const struct oauth_provider *oauth_provider_load_text(struct arena *arena, const char *file,
	const char *text, size_t n, int64_t refresh_period_s, struct oauth_faults *faults);

/* A data centre by its name, or NULL. */
const struct oauth_datacenter *oauth_provider_datacenter(
	const struct oauth_provider *provider, const char *name);

/* The origin a word stands for in a data centre, or NULL (also when datacenter is NULL). */
const char *oauth_datacenter_host(const struct oauth_datacenter *datacenter, const char *word);

/* Whether a text can be the value of one of the definition's params: [A-Za-z0-9._-]{1,128}. */
int oauth_provider_is_param_value(const char *text);

/* Where a request of a connection goes. Everything but the provider may be NULL or empty. */
struct oauth_target {
	const struct oauth_provider *provider;
	const struct oauth_datacenter *datacenter;
	const char *client_id;     /* the app's, for {client_id} */
	struct oauth_pairs params; /* set with the app */
	const char *api_domain;    /* the connection's own; used for {api} when allowed */
};

/*
 * Fills a template of the definition from the target, and reads the result once more as a URL.
 * Returns: ERR_CONFIG when a value is missing or fits no URL. Owns: the work.
 */
enum err oauth_provider_url(struct work *w, const struct oauth_target *target, const char *template,
	char **url) MUST_CHECK;

/*
 * The origin alone that a template leads to, filled without regard to its path and query.
 * Returns: ERR_CONFIG. Owns: the work.
 */
enum err oauth_provider_origin(struct work *w, const struct oauth_target *target,
	const char *template, char **origin) MUST_CHECK;

/*
 * The same for an arena, while there is no work yet. Returns NULL and *url, or the reason why there
 * is none.
 */
const char *oauth_provider_fill(
	struct arena *arena, const struct oauth_target *target, const char *template, char **url);

/*
 * Whether a URL may be contacted at all: https, or http to a loopback host where the definition
 * says so, and no private or reserved address. Returns NULL, or the reason why not.
 */
const char *oauth_provider_url_fault(const struct oauth_provider *provider, const char *url);

/* Whether tokens may be sent to an API domain that an answer named: the table's "api", or one of
 * api_domains. */
int oauth_provider_allows_api_domain(const struct oauth_provider *provider,
	const struct oauth_datacenter *datacenter, const char *url);

#endif
