/* THE table of a definition's keys, and its reader. It knows types and ranges; how keys go together
 * is provider_check's. */
#include "oauth/provider_read.h"

#include "base/text.h"
#include "oauth/pointer.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX_BYTES 1024
#define YEAR_S ((int64_t)366 * 86400)
#define AT(member) offsetof(struct oauth_provider, member)
#define RULE_AT(member) offsetof(struct oauth_rule, member)

enum type {
	TYPE_TEXT,
	TYPE_NAME,
	TYPE_POINTER,
	TYPE_BOOL,
	TYPE_INT,
	TYPE_CHOICE,
	TYPE_WORDS,
	TYPE_PAIRS,
	TYPE_OBJECT,
	TYPE_DATACENTERS,
	TYPE_RULES,
	TYPE_STATUSES,
	TYPE_SCALAR,
	TYPE_EMPTY,
};

struct choice {
	const char *word;
	int value;
};

struct key {
	const char *name;
	enum type type;
	int required;
	size_t offset;
	int64_t min, max; /* of TYPE_INT; a pair's or word's longest is TEXT_MAX_BYTES */
	const struct choice *choices; /* of TYPE_CHOICE */
	const struct key *members;    /* of TYPE_OBJECT */
};

struct reader {
	struct arena *arena;
	struct oauth_faults *faults;
	const char *file;
};

static const struct choice client_auths[] = {
	{"post", OAUTH_CLIENT_AUTH_POST},
	{"basic", OAUTH_CLIENT_AUTH_BASIC},
	{"basic_raw", OAUTH_CLIENT_AUTH_BASIC_RAW},
	{0},
};

static const struct choice revoke_auths[] = {
	{"none", OAUTH_CLIENT_AUTH_NONE},
	{"post", OAUTH_CLIENT_AUTH_POST},
	{"basic", OAUTH_CLIENT_AUTH_BASIC},
	{0},
};

static const struct choice rotations[] = {
	{"never", OAUTH_ROTATION_NEVER},
	{"sometimes", OAUTH_ROTATION_SOMETIMES},
	{"always", OAUTH_ROTATION_ALWAYS},
	{0},
};

static const struct choice encodings[] = {
	{"form", OAUTH_ENCODING_FORM}, {"json", OAUTH_ENCODING_JSON}, {0}};

static const struct choice methods[] = {
	{"POST", OAUTH_METHOD_POST}, {"DELETE", OAUTH_METHOD_DELETE}, {0}};

static const struct choice places[] = {
	{"token", OAUTH_AT_TOKEN}, {"probe", OAUTH_AT_PROBE}, {"revoke", OAUTH_AT_REVOKE}, {0}};

static const struct choice grants[] = {
	{"code", OAUTH_GRANT_CODE}, {"refresh", OAUTH_GRANT_REFRESH}, {0}};

static const struct choice verdicts[] = {
	{"ok", OAUTH_OK},
	{"dead", OAUTH_DEAD},
	{"app", OAUTH_APP},
	{"dead_or_app", OAUTH_DEAD_OR_APP},
	{"rate", OAUTH_RATE},
	{"scope", OAUTH_SCOPE},
	{"retry", OAUTH_RETRY},
	{0},
};

static const struct key callback_keys[] = {
	{"location", TYPE_TEXT, 0, AT(callback_datacenter.location), 0, 0, NULL, NULL},
	{"server", TYPE_TEXT, 0, AT(callback_datacenter.server), 0, 0, NULL, NULL},
	{0},
};

static const struct key response_keys[] = {
	{"access_token", TYPE_POINTER, 0, AT(response.access_token), 0, 0, NULL, NULL},
	{"refresh_token", TYPE_POINTER, 0, AT(response.refresh_token), 0, 0, NULL, NULL},
	{"token_type", TYPE_POINTER, 0, AT(response.token_type), 0, 0, NULL, NULL},
	{"expires_in", TYPE_POINTER, 0, AT(response.expires_in), 0, 0, NULL, NULL},
	{"refresh_expires_in", TYPE_POINTER, 0, AT(response.refresh_expires_in), 0, 0, NULL, NULL},
	{"scope", TYPE_POINTER, 0, AT(response.scope), 0, 0, NULL, NULL},
	{"api_domain", TYPE_POINTER, 0, AT(response.api_domain), 0, 0, NULL, NULL},
	{0},
};

static const struct key revoke_keys[] = {
	{"method", TYPE_CHOICE, 0, AT(revoke.method), 0, 0, methods, NULL},
	{"encoding", TYPE_CHOICE, 0, AT(revoke.encoding), 0, 0, encodings, NULL},
	{"auth", TYPE_CHOICE, 0, AT(revoke.auth), 0, 0, revoke_auths, NULL},
	{"field", TYPE_TEXT, 0, AT(revoke.field), 0, 0, NULL, NULL},
	{0},
};

static const struct key quota_keys[] = {
	{"count", TYPE_INT, 1, AT(mint_quota.count), 1, 1000000, NULL, NULL},
	{"window_s", TYPE_INT, 1, AT(mint_quota.window_s), 1, 86400, NULL, NULL},
	{0},
};

static const struct key probe_keys[] = {
	{"url", TYPE_TEXT, 1, AT(probe.url), 0, 0, NULL, NULL},
	{"expect", TYPE_POINTER, 1, AT(probe.expect), 0, 0, NULL, NULL},
	{0},
};

static const struct key identity_keys[] = {
	{"url", TYPE_TEXT, 1, AT(identity.url), 0, 0, NULL, NULL},
	{"pointer", TYPE_POINTER, 1, AT(identity.pointer), 0, 0, NULL, NULL},
	{0},
};

static const struct key rule_keys[] = {
	{"at", TYPE_CHOICE, 1, RULE_AT(at), 0, 0, places, NULL},
	{"grant", TYPE_CHOICE, 0, RULE_AT(grant), 0, 0, grants, NULL},
	{"status", TYPE_STATUSES, 0, 0, 100, 599, NULL, NULL},
	{"pointer", TYPE_POINTER, 0, RULE_AT(pointer), 0, 0, NULL, NULL},
	{"equals", TYPE_SCALAR, 0, RULE_AT(equals), 0, 0, NULL, NULL},
	{"body", TYPE_EMPTY, 0, RULE_AT(body_empty), 0, 0, NULL, NULL},
	{"verdict", TYPE_CHOICE, 1, RULE_AT(verdict), 0, 0, verdicts, NULL},
	{0},
};

static const struct key definition_keys[] = {
	{"name", TYPE_NAME, 1, AT(name), 0, 0, NULL, NULL},
	{"title", TYPE_TEXT, 0, AT(title), 0, 0, NULL, NULL},
	{"docs", TYPE_TEXT, 0, AT(docs), 0, 0, NULL, NULL},
	{"authorize_url", TYPE_TEXT, 1, AT(authorize_url), 0, 0, NULL, NULL},
	{"token_url", TYPE_TEXT, 1, AT(token_url), 0, 0, NULL, NULL},
	{"revoke_url", TYPE_TEXT, 0, AT(revoke_url), 0, 0, NULL, NULL},
	{"introspect_url", TYPE_TEXT, 0, AT(introspect_url), 0, 0, NULL, NULL},
	{"allow_loopback_http", TYPE_BOOL, 0, AT(allow_loopback_http), 0, 0, NULL, NULL},
	{"issuer", TYPE_TEXT, 0, AT(issuer), 0, 0, NULL, NULL},
	{"require_iss", TYPE_BOOL, 0, AT(require_iss), 0, 0, NULL, NULL},
	{"datacenters", TYPE_DATACENTERS, 0, 0, 0, 0, NULL, NULL},
	{"default_datacenter", TYPE_NAME, 0, AT(default_datacenter_name), 0, 0, NULL, NULL},
	{"callback_datacenter", TYPE_OBJECT, 0, 0, 0, 0, NULL, callback_keys},
	{"scopes", TYPE_WORDS, 1, AT(scopes), 0, 0, NULL, NULL},
	{"scope_separator", TYPE_TEXT, 0, AT(scope_separator), 0, 0, NULL, NULL},
	{"authorize_params", TYPE_PAIRS, 0, AT(authorize_params), 0, 0, NULL, NULL},
	{"client_auth", TYPE_CHOICE, 0, AT(client_auth), 0, 0, client_auths, NULL},
	{"pkce", TYPE_BOOL, 0, AT(pkce), 0, 0, NULL, NULL},
	{"authorization_scheme", TYPE_TEXT, 0, AT(authorization_scheme), 0, 0, NULL, NULL},
	{"params", TYPE_WORDS, 0, AT(params), 0, 0, NULL, NULL},
	{"headers", TYPE_PAIRS, 0, AT(headers), 0, 0, NULL, NULL},
	{"callback_keep", TYPE_WORDS, 0, AT(callback_keep), 0, 0, NULL, NULL},
	{"response", TYPE_OBJECT, 0, 0, 0, 0, NULL, response_keys},
	{"api_domains", TYPE_WORDS, 0, AT(api_domains), 0, 0, NULL, NULL},
	{"revoke", TYPE_OBJECT, 0, 0, 0, 0, NULL, revoke_keys},
	{"rotation", TYPE_CHOICE, 1, AT(rotation), 0, 0, rotations, NULL},
	{"reuse_grace_s", TYPE_INT, 0, AT(reuse_grace_s), 0, YEAR_S, NULL, NULL},
	{"expires", TYPE_BOOL, 0, AT(expires), 0, 0, NULL, NULL},
	{"confirm_dead_s", TYPE_INT, 0, AT(confirm_dead_s), 0, 86400, NULL, NULL},
	{"access_ttl_s", TYPE_INT, 1, AT(access_ttl_s), 1, YEAR_S, NULL, NULL},
	{"renew_before_s", TYPE_INT, 1, AT(renew_before_s), 1, YEAR_S, NULL, NULL},
	{"grant_ttl_s", TYPE_INT, 0, AT(grant_ttl_s), 1, 10 * YEAR_S, NULL, NULL},
	{"idle_ttl_s", TYPE_INT, 0, AT(idle_ttl_s), 1, 10 * YEAR_S, NULL, NULL},
	{"grants_per_user", TYPE_INT, 0, AT(grants_per_user), 1, 1000000, NULL, NULL},
	{"mint_quota", TYPE_OBJECT, 0, 0, 0, 0, NULL, quota_keys},
	{"probe", TYPE_OBJECT, 0, 0, 0, 0, NULL, probe_keys},
	{"identity", TYPE_OBJECT, 0, 0, 0, 0, NULL, identity_keys},
	{"verdicts", TYPE_RULES, 0, 0, 0, 0, NULL, NULL},
	{0},
};

static void read_object(
	struct reader *r, const char *path, const json_t *json, const struct key *keys, void *base);

/* The path of a member, for a person: "probe.url"; path "" is the definition itself. */
static const char *join(struct reader *r, const char *path, const char *name)
{
	return *path ? arena_printf(r->arena, "%s.%s", path, name) : name;
}

static void fault(struct reader *r, const char *path, const char *reason)
{
	oauth_faults_add(r->faults, r->file, path, "%s", reason);
}

/* A text of the definition that is safe to print, send and compare; NULL when it is none. */
static const char *read_text(struct reader *r, const char *path, const json_t *json)
{
	const char *text = json_string_value(json);

	if (!text)
		fault(r, path, "is not a text");
	else if (!*text)
		fault(r, path, "is empty");
	else if (strlen(text) > TEXT_MAX_BYTES)
		fault(r, path, "is longer than 1024 bytes");
	else if (text_has_control(text))
		fault(r, path, "has a control character");
	else
		return arena_strdup(r->arena, text);
	return NULL;
}

static const char *read_checked(struct reader *r, const char *path, const json_t *json,
	int (*is_valid)(const char *), const char *reason)
{
	const char *text = read_text(r, path, json);

	if (text && !is_valid(text)) {
		fault(r, path, reason);
		return NULL;
	}
	return text;
}

static void read_int(struct reader *r, const char *path, const json_t *json, const struct key *key,
	int64_t *value)
{
	int64_t number = json_integer_value(json);

	if (!json_is_integer(json))
		fault(r, path, "is not a whole number");
	else if (number < key->min || number > key->max)
		oauth_faults_add(r->faults, r->file, path, "is not between %lld and %lld",
			(long long)key->min, (long long)key->max);
	else
		*value = number;
}

static void read_bool(struct reader *r, const char *path, const json_t *json, int *value)
{
	if (json_is_boolean(json))
		*value = json_is_true(json);
	else
		fault(r, path, "is neither true nor false");
}

static const char *choice_words(struct reader *r, const struct choice *choices)
{
	const char *words = choices->word;

	while ((++choices)->word)
		words = arena_printf(r->arena, "%s, %s", words, choices->word);
	return words;
}

/* All enums of the definition are read as what C makes of them: an unsigned int without negative
 * members. */
static void read_choice(struct reader *r, const char *path, const json_t *json,
	const struct choice *choices, void *value)
{
	const char *word = json_string_value(json);

	for (const struct choice *c = choices; c->word; c++)
		if (text_equal(word, c->word)) {
			unsigned number = (unsigned)c->value;

			memcpy(value, &number, sizeof(number));
			return;
		}
	oauth_faults_add(r->faults, r->file, path, "is none of: %s", choice_words(r, choices));
}

static void read_words(
	struct reader *r, const char *path, const json_t *json, struct oauth_words *words)
{
	size_t n = json_array_size(json), count = 0;
	const char **items;

	if (!json_is_array(json) || n > OAUTH_LIST_MAX) {
		fault(r, path, "is not a list of at most 100 texts");
		return;
	}
	items = arena_alloc(r->arena, n * sizeof(*items) + 1);
	for (size_t i = 0; i < n; i++) {
		const char *at = arena_printf(r->arena, "%s[%zu]", path, i);

		items[count] = read_text(r, at, json_array_get(json, i));
		for (size_t k = 0; k < count; k++)
			if (text_equal(items[k], items[count]))
				fault(r, at, "is there twice");
		count += items[count] != NULL;
	}
	*words = (struct oauth_words){items, count};
}

static void read_pairs(struct reader *r, const char *path, json_t *json, struct oauth_pairs *pairs)
{
	struct oauth_pair *items;
	const char *name;
	json_t *value;
	size_t n = 0;

	if (!json_is_object(json) || json_object_size(json) > OAUTH_LIST_MAX) {
		fault(r, path, "is not an object of at most 100 texts");
		return;
	}
	items = arena_alloc(r->arena, json_object_size(json) * sizeof(*items) + 1);
	json_object_foreach(json, name, value)
	{
		if (!*name || text_has_control(name)) {
			fault(r, path, "has a name that is empty or has a control character");
			continue;
		}
		items[n].name = arena_strdup(r->arena, name);
		items[n].value = read_text(r, join(r, path, name), value);
		n += items[n].value != NULL;
	}
	*pairs = (struct oauth_pairs){items, n};
}

static int datacenter_order(const void *a, const void *b)
{
	return strcmp(((const struct oauth_datacenter *)a)->name,
		((const struct oauth_datacenter *)b)->name);
}

static void read_datacenters(
	struct reader *r, const char *path, json_t *json, struct oauth_provider *provider)
{
	struct oauth_datacenter *list;
	const char *name;
	json_t *hosts;
	size_t n = 0;

	if (!json_is_object(json) || json_object_size(json) < 1 ||
		json_object_size(json) > OAUTH_LIST_MAX) {
		fault(r, path, "is not an object of 1 to 100 data centres");
		return;
	}
	list = arena_alloc(r->arena, json_object_size(json) * sizeof(*list));
	json_object_foreach(json, name, hosts)
	{
		if (!text_is_name(name))
			fault(r, join(r, path, name), "is no name of [a-z0-9_]{1,64}");
		list[n].name = arena_strdup(r->arena, name);
		read_pairs(r, join(r, path, name), hosts, &list[n++].hosts);
	}
	qsort(list, n, sizeof(*list), datacenter_order);
	provider->datacenters = list;
	provider->datacenter_count = n;
}

static void read_statuses(struct reader *r, const char *path, const json_t *json,
	const struct key *key, struct oauth_rule *rule)
{
	size_t n = json_is_array(json) ? json_array_size(json) : 1;

	if (n < 1 || n > OAUTH_RULE_STATUS_MAX) {
		fault(r, path, "is not a list of 1 to 16 statuses");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		int64_t status = 0;

		read_int(r, path, json_is_array(json) ? json_array_get(json, i) : json, key,
			&status);
		rule->statuses[i] = (int)status;
	}
	rule->status_count = n;
}

static const char *read_scalar(struct reader *r, const char *path, const json_t *json)
{
	if (json_is_integer(json))
		return arena_printf(r->arena, "%" JSON_INTEGER_FORMAT, json_integer_value(json));
	if (json_is_boolean(json))
		return json_is_true(json) ? "true" : "false";
	return read_text(r, path, json);
}

static void read_rules(
	struct reader *r, const char *path, const json_t *json, struct oauth_provider *provider)
{
	size_t n = json_array_size(json);
	struct oauth_rule *rules;

	if (!json_is_array(json) || n > OAUTH_LIST_MAX) {
		fault(r, path, "is not a list of at most 100 rules");
		return;
	}
	rules = arena_alloc(r->arena, n * sizeof(*rules) + 1);
	for (size_t i = 0; i < n; i++) {
		size_t before = r->faults->errors;

		read_object(r, arena_printf(r->arena, "%s[%zu]", path, i), json_array_get(json, i),
			rule_keys, &rules[i]);
		/* what is missing in it may be what could not be read; the others keep their places
		 */
		if (r->faults->errors != before)
			rules[i] = (struct oauth_rule){.body_empty = 1};
	}
	provider->rules = rules;
	provider->rule_count = n;
}

static void read_value(
	struct reader *r, const char *path, json_t *json, const struct key *key, void *base)
{
	void *member = (char *)base + key->offset;
	const char *text;

	switch (key->type) {
	case TYPE_TEXT:
		if ((text = read_text(r, path, json)))
			*(const char **)member = text;
		break;
	case TYPE_NAME:
		*(const char **)member =
			read_checked(r, path, json, text_is_name, "is no name of [a-z0-9_]{1,64}");
		break;
	case TYPE_POINTER:
		*(const char **)member =
			read_checked(r, path, json, oauth_pointer_is_valid, "is no JSON pointer");
		break;
	case TYPE_BOOL:
		read_bool(r, path, json, member);
		break;
	case TYPE_INT:
		read_int(r, path, json, key, member);
		break;
	case TYPE_CHOICE:
		read_choice(r, path, json, key->choices, member);
		break;
	case TYPE_WORDS:
		read_words(r, path, json, member);
		break;
	case TYPE_PAIRS:
		read_pairs(r, path, json, member);
		break;
	case TYPE_OBJECT:
		read_object(r, path, json, key->members, base);
		break;
	case TYPE_DATACENTERS:
		read_datacenters(r, path, json, base);
		break;
	case TYPE_RULES:
		read_rules(r, path, json, base);
		break;
	case TYPE_STATUSES:
		read_statuses(r, path, json, key, base);
		break;
	case TYPE_SCALAR:
		*(const char **)member = read_scalar(r, path, json);
		break;
	case TYPE_EMPTY:
		if (!(*(int *)member = text_equal(json_string_value(json), "empty")))
			fault(r, path, "can only be \"empty\"");
		break;
	}
}

static void read_object(
	struct reader *r, const char *path, const json_t *json, const struct key *keys, void *base)
{
	const char *name;
	json_t *value;
	/* jansson's iterators want an object they could change */
	union {
		const json_t *in;
		json_t *out;
	} object = {json};

	if (!json_is_object(json)) {
		fault(r, path, "is not an object");
		return;
	}
	json_object_foreach(object.out, name, value)
	{
		const struct key *key = keys;

		while (key->name && !text_equal(key->name, name))
			key++;
		if (key->name)
			read_value(r, join(r, path, name), value, key, base);
		else
			fault(r, join(r, path, name), "is not known");
	}
	for (const struct key *key = keys; key->name; key++)
		if (key->required && !json_object_get(json, key->name))
			fault(r, join(r, path, key->name), "is missing");
}

void oauth_provider_read(struct arena *arena, const char *file, const json_t *root,
	struct oauth_faults *faults, struct oauth_provider *provider)
{
	struct reader r = {arena, faults, file};

	*provider = (struct oauth_provider){
		.file = file,
		.scope_separator = " ",
		.client_auth = OAUTH_CLIENT_AUTH_POST,
		.pkce = 1,
		.authorization_scheme = "Bearer",
		.revoke = {OAUTH_METHOD_POST, OAUTH_ENCODING_FORM, OAUTH_CLIENT_AUTH_POST, "token"},
		.expires = 1,
	};
	/* what was not said follows what was */
	provider->require_iss = json_object_get(root, "issuer") != NULL;
	read_object(&r, "", root, definition_keys, provider);
	if (!json_object_get(json_object_get(root, "revoke"), "auth"))
		provider->revoke.auth = provider->client_auth;
	if (json_object_get(root, "revoke") && !json_object_get(root, "revoke_url"))
		oauth_faults_add(faults, file, "revoke", "means nothing without revoke_url");
	if (!provider->title)
		provider->title = provider->name;
}
