/*
 * API keys. The secret has 256 bits, so that a plain hash keeps it (OWASP ASVS 5.0, 6.5.2), and a
 * checksum, so that typing errors and scanners of leaked keys need no database.
 */
#include "custody/caller.h"

#include "base/text.h"
#include "store/api_key.h"
#include "store/audit.h"
#include "vault/crypto.h"

#include <string.h>

#define PREFIX "vst_"
#define ID_DIGITS 12
#define SECRET_BYTES 32
#define SECRET_DIGITS 43 /* base64url of SECRET_BYTES */
#define CHECK_DIGITS 6
#define KEY_CHARS (sizeof(PREFIX) - 1 + ID_DIGITS + 1 + SECRET_DIGITS + CHECK_DIGITS)
#define KNOWN_MAX 64
#define KNOWN_BYTES ((size_t)64 * 1024) /* a key's scope; a larger one is not remembered */

enum custody_role custody_role_by_name(const char *name)
{
	static const struct {
		const char *name;
		enum custody_role role;
	} roles[] = {{"admin", CUSTODY_ADMIN}, {"operator", CUSTODY_OPERATOR},
		{"auditor", CUSTODY_AUDITOR}, {"service", CUSTODY_SERVICE}};

	for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++)
		if (text_equal(roles[i].name, name))
			return roles[i].role;
	return 0;
}

/* The first 24 bits of the SHA-256 of everything before, as hex. */
static enum err check_digits(const char *text, size_t n, char digits[CHECK_DIGITS + 1])
{
	static const char hex[] = "0123456789abcdef";
	unsigned char hash[VAULT_HASH_BYTES];
	enum err err = vault_crypto_sha256(text, n, hash);

	for (size_t i = 0; i < CHECK_DIGITS; i++)
		digits[i] = hex[hash[i / 2] >> (i % 2 ? 0 : 4) & 15];
	digits[CHECK_DIGITS] = '\0';
	secret_wipe(hash, sizeof(hash));
	return err;
}

static int is_well_formed(const char *key)
{
	char digits[CHECK_DIGITS + 1];

	if (strlen(key) != KEY_CHARS || !text_starts(key, PREFIX) ||
		key[sizeof(PREFIX) - 1 + ID_DIGITS] != '_')
		return 0;
	return !check_digits(key, KEY_CHARS - CHECK_DIGITS, digits) &&
	       strcmp(key + KEY_CHARS - CHECK_DIGITS, digits) == 0;
}

/* The hash that is stored: of the secret's digits and its check digits. */
static enum err hash_of(const char *key, unsigned char hash[VAULT_HASH_BYTES])
{
	return vault_crypto_sha256(
		key + KEY_CHARS - CHECK_DIGITS - SECRET_DIGITS, SECRET_DIGITS + CHECK_DIGITS, hash);
}

/* --- keys that were recognised before --------------------------------------------------------- */

struct known {
	struct arena memory; /* of id and scope */
	struct custody_caller caller;
};

struct custody_callers {
	struct known known[KNOWN_MAX]; /* each at the place its hash names */
};

static void forget(struct known *known)
{
	arena_wipe(&known->memory);
	secret_wipe(&known->caller, sizeof(known->caller));
}

static void forget_all(void *handle)
{
	struct custody_callers *callers = handle;

	for (size_t i = 0; i < KNOWN_MAX; i++)
		forget(&callers->known[i]);
}

struct custody_callers *custody_callers_new(struct work *w)
{
	struct custody_callers *callers = work_alloc(w, sizeof(*callers));

	for (size_t i = 0; i < KNOWN_MAX; i++)
		arena_init(&callers->known[i].memory, 2 * KNOWN_BYTES);
	work_defer(w, forget_all, callers);
	return callers;
}

static struct known *place_of(
	const struct custody *c, const unsigned char hash[STORE_API_KEY_HASH_BYTES])
{
	return c->callers ? &c->callers->known[hash[0] % KNOWN_MAX] : NULL;
}

static size_t bytes_of(const char *const *words, size_t n)
{
	size_t bytes = n * sizeof(*words);

	for (size_t i = 0; i < n; i++)
		bytes += strlen(words[i]) + 1;
	return bytes;
}

static const char *const *keep_words(struct arena *memory, const char *const *words, size_t n)
{
	const char **kept = words ? arena_alloc(memory, (n + 1) * sizeof(*kept)) : NULL;

	for (size_t i = 0; kept && i < n; i++)
		kept[i] = arena_strdup(memory, words[i]);
	return kept;
}

static void remember(const struct custody *c, const struct custody_caller *caller)
{
	struct known *known = place_of(c, caller->key_hash);
	const struct store_scope *scope = &caller->scope;

	if (!known || bytes_of(scope->clients, scope->client_count) +
				      bytes_of(scope->providers, scope->provider_count) >
			      KNOWN_BYTES)
		return;
	forget(known);
	known->caller = *caller;
	known->caller.key_id = arena_strdup(&known->memory, caller->key_id);
	known->caller.scope.clients =
		keep_words(&known->memory, scope->clients, scope->client_count);
	known->caller.scope.providers =
		keep_words(&known->memory, scope->providers, scope->provider_count);
}

/* --- recognising ------------------------------------------------------------------------------ */

static int is_known(const struct known *known, const struct custody_caller *caller)
{
	return known && text_equal(known->caller.key_id, caller->key_id) &&
	       vault_crypto_equal(
		       known->caller.key_hash, caller->key_hash, sizeof(caller->key_hash));
}

static enum err look_up(struct work *w, const struct custody *c, struct custody_caller *caller)
{
	struct known *known = place_of(c, caller->key_hash);
	struct store_api_key row;
	enum err err;

	if (is_known(known, caller))
		forget(known);
	caller->is_assumed = 0;
	caller->role = 0;
	caller->scope = (struct store_scope){0};
	err = store_api_key_get(w, c->db, caller->key_id, w->origin.address, &row);
	if (err == ERR_UNAUTHENTICATED)
		work_cause(w, err, "unknown");
	if (err)
		return err;
	if (!vault_crypto_equal(caller->key_hash, row.hash, sizeof(row.hash)))
		return work_cause(w, ERR_UNAUTHENTICATED, "wrong secret");
	caller->role = custody_role_by_name(row.role);
	caller->scope = row.scope;
	remember(c, caller);
	return row.used_today ? ERR_OK : store_api_key_used(w, c->db, caller->key_id);
}

static int assume(const struct custody *c, struct custody_caller *caller)
{
	const struct known *known = place_of(c, caller->key_hash);

	if (!is_known(known, caller))
		return 0;
	caller->role = known->caller.role;
	caller->scope = known->caller.scope;
	caller->is_assumed = 1;
	return 1;
}

enum err custody_caller_by_key(struct work *w, const struct custody *c, const char *key,
	int may_assume, struct custody_caller *caller)
{
	enum err err;

	if (!is_well_formed(key))
		return work_cause(w, ERR_UNAUTHENTICATED, "malformed");
	caller->key_id = arena_strndup(&w->arena, key + sizeof(PREFIX) - 1, ID_DIGITS);
	err = hash_of(key, caller->key_hash); /* before the look-up: an unknown id costs the same */
	if (!err && !(may_assume && assume(c, caller)))
		err = look_up(w, c, caller);
	if (err)
		return err;
	w->origin.actor = work_printf(w, "key:%s", caller->key_id);
	w->origin.actor_auth = "api_key";
	return ERR_OK;
}

enum err custody_caller_confirm(
	struct work *w, const struct custody *c, struct custody_caller *caller)
{
	enum err err = caller->is_assumed ? look_up(w, c, caller) : ERR_OK;

	if (err == ERR_UNAUTHENTICATED) {
		w->origin.actor = "anonymous";
		w->origin.actor_auth = "none";
	}
	return err;
}

/* A key's text; the hash that is kept of it. */
static enum err make(
	struct work *w, struct custody_new_key *key, unsigned char hash[VAULT_HASH_BYTES])
{
	unsigned char id[ID_DIGITS / 2], secret[SECRET_BYTES];
	char digits[CHECK_DIGITS + 1];
	char *text;
	enum err err = vault_crypto_random_public(id, sizeof(id));

	if (!err)
		err = vault_crypto_random(secret, sizeof(secret));
	if (err)
		return err;
	key->id = text_hex(w, id, sizeof(id));
	text = work_printf(w, PREFIX "%s_%s", key->id, text_base64url(w, secret, sizeof(secret)));
	secret_wipe(secret, sizeof(secret));
	err = check_digits(text, strlen(text), digits);
	if (err)
		return err;
	text = work_printf(w, "%s%s", text, digits);
	key->key = secret_new(w, text, strlen(text));
	return key->key ? hash_of(text, hash) : ERR_NO_MEMORY;
}

struct making {
	struct custody_new_key *key;
	struct store_api_key row;
};

static enum err note(
	struct work *w, struct store_db *db, const char *action, const char *id, const char *reason)
{
	return store_audit_add(w, db,
		&(struct store_event){.action = action,
			.object_type = "api_key",
			.object_id = id,
			.reason = reason});
}

static enum err add(struct work *w, struct store_db *db, void *context)
{
	const struct making *m = context;
	enum err err = store_api_key_add(
		w, db, &m->row, m->key->addresses, m->key->address_count, m->key->expires_at);

	return err ? err : note(w, db, "api_key.created", m->row.id, m->row.role);
}

enum err custody_caller_make_key(
	struct work *w, const struct custody *c, struct custody_new_key *key)
{
	struct making m = {
		.key = key, .row = {.name = key->name, .role = key->role, .scope = key->scope}};
	enum err err = make(w, key, m.row.hash);

	m.row.id = key->id;
	return err ? err : store_db_transaction(w, c->db, add, &m);
}

static enum err revoke(struct work *w, struct store_db *db, void *context)
{
	const char *id = context;
	enum err err = store_api_key_revoke(w, db, id);

	return err ? err : note(w, db, "api_key.revoked", id, NULL);
}

enum err custody_caller_revoke_key(struct work *w, const struct custody *c, const char *id)
{
	return store_db_transaction(w, c->db, revoke, (void *)(uintptr_t)id);
}
