/* API keys: what is no key costs no query, what is one says who calls, and only a hash is kept. */
#include "../support/service.h"

#include "base/text.h"
#include "custody/caller.h"
#include "vault/crypto.h"

#include <string.h>

#define ID_AT 4      /* after "vst_" */
#define SECRET_AT 17 /* after the id and "_" */
#define CHECK_AT 60
#define KEY_CHARS 66

/* A new key, and its hash as the database got it. */
static const char *make(struct service *s, const char *role, const char **hash)
{
	struct custody_new_key key = {.name = "test", .role = role};
	const struct fake_db_call *call;

	fake_db_forget();
	fake_db_role(STORE_OPERATOR);
	assert_int_equal(custody_caller_make_key(&s->w, &s->c, &key), ERR_OK);
	call = fake_db_call(STMT_API_KEY_ADD, 0);
	assert_int_equal(call->params[3].n, 32);
	*hash = fake_db_bytea(call->params[3].text, call->params[3].n);
	fake_db_forget();
	fake_db_role(STORE_WORKER);
	return secret_reveal(key.key);
}

static void lay(const char *role, const char *hash, const char *clients, const char *used_today)
{
	fake_db_no_rows(STMT_API_KEY_GET);
	FAKE_DB_ROW(STMT_API_KEY_GET, "test", role, hash, clients, NULL, used_today);
	fake_db_forget();
}

static enum err recognise(struct service *s, const char *key, struct custody_caller *caller)
{
	memset(caller, 0, sizeof(*caller));
	work_forgive(&s->w);
	s->w.origin.actor = "anonymous";
	s->w.origin.address = "192.0.2.1";
	return custody_caller_by_key(&s->w, &s->c, key, 1, caller);
}

static const char *id_of(struct service *s, const char *key)
{
	return arena_strndup(&s->w.arena, key + ID_AT, SECRET_AT - ID_AT - 1);
}

static void a_good_key_says_who_calls(void **state)
{
	struct service *s = *state;
	const char *hash, *key = make(s, "service", &hash);
	struct custody_caller caller;

	assert_int_equal(strlen(key), KEY_CHARS);
	lay("service", hash, "[\"acme\",\"beta\"]", "t");
	assert_int_equal(recognise(s, key, &caller), ERR_OK);
	assert_int_equal(caller.role, CUSTODY_SERVICE);
	assert_int_equal(caller.scope.client_count, 2);
	assert_string_equal(caller.scope.clients[1], "beta");
	assert_null(caller.scope.providers);
	unit_same("actor", s->w.origin.actor, work_printf(&s->w, "key:%s", id_of(s, key)));
	unit_same("id", fake_db_param(STMT_API_KEY_GET, 0, 1), id_of(s, key));
	unit_same("key_id", caller.key_id, id_of(s, key));
	unit_same("address", fake_db_param(STMT_API_KEY_GET, 0, 2), "192.0.2.1");
}

static void one_wrong_character_costs_no_query(void **state)
{
	struct service *s = *state;
	const char *hash, *key = make(s, "admin", &hash);
	struct custody_caller caller;

	lay("admin", hash, NULL, "t");
	for (size_t i = 0; i < KEY_CHARS; i++) {
		char *typo = work_strdup(&s->w, key);

		typo[i] = typo[i] == 'a' ? 'b' : 'a';
		assert_int_equal(recognise(s, typo, &caller), ERR_UNAUTHENTICATED);
		assert_int_equal(fake_db_total(), 0);
	}
	assert_int_equal(caller.role, 0);
	unit_same("actor", s->w.origin.actor, "anonymous");
}

static void what_is_no_key_costs_no_query(void **state)
{
	struct service *s = *state;
	const char *hash, *key = make(s, "admin", &hash);
	const char *const others[] = {"", "vst_", "x", work_printf(&s->w, "%sx", key),
		work_printf(&s->w, " %s", key), arena_strndup(&s->w.arena, key, KEY_CHARS - 1),
		key + 1, id_of(s, key)};
	struct custody_caller caller;

	lay("admin", hash, NULL, "t");
	for (size_t i = 0; i < UNIT_COUNT(others); i++) {
		assert_int_equal(recognise(s, others[i], &caller), ERR_UNAUTHENTICATED);
		assert_int_equal(fake_db_total(), 0);
	}
}

/* The id of one key with the secret of another, its check digits made to fit. */
static const char *mixed(struct service *s, const char *id_from, const char *secret_from)
{
	char *key = work_strdup(&s->w, id_from);
	unsigned char hash[VAULT_HASH_BYTES];

	memcpy(key + SECRET_AT, secret_from + SECRET_AT, CHECK_AT - SECRET_AT);
	assert_int_equal(vault_crypto_sha256(key, CHECK_AT, hash), ERR_OK);
	memcpy(key + CHECK_AT, text_hex(&s->w, hash, 3), KEY_CHARS - CHECK_AT);
	return key;
}

static void the_right_id_with_a_wrong_secret_is_nobody(void **state)
{
	struct service *s = *state;
	const char *hash_a, *hash_b, *a = make(s, "admin", &hash_a), *b = make(s, "admin", &hash_b);
	struct custody_caller caller;

	lay("admin", hash_a, NULL, "f");
	assert_int_equal(recognise(s, mixed(s, a, b), &caller), ERR_UNAUTHENTICATED);
	assert_int_equal(fake_db_count(STMT_API_KEY_GET), 1);
	assert_int_equal(fake_db_total(), 1); /* and its use is not noted */
	assert_int_equal(caller.role, 0);
	unit_same("actor", s->w.origin.actor, "anonymous");
	unit_same("detail", s->w.detail, NULL);
	/* the same way of mixing gives a good key when nothing is mixed */
	assert_int_equal(recognise(s, mixed(s, a, a), &caller), ERR_OK);
}

static void who_was_recognised_is_assumed_until_he_is_confirmed(void **state)
{
	struct service *s = *state;
	const char *hash, *key = make(s, "service", &hash);
	struct custody_caller caller;

	s->c.callers = custody_callers_new(&s->w);
	lay("service", hash, "[\"acme\"]", "t");
	assert_int_equal(recognise(s, key, &caller), ERR_OK);
	assert_false(caller.is_assumed);
	fake_db_forget();
	assert_int_equal(recognise(s, key, &caller), ERR_OK);
	assert_int_equal(fake_db_total(), 0);
	assert_true(caller.is_assumed);
	assert_int_equal(caller.role, CUSTODY_SERVICE);
	assert_string_equal(caller.scope.clients[0], "acme");
	unit_same("actor", s->w.origin.actor, work_printf(&s->w, "key:%s", id_of(s, key)));
	assert_int_equal(custody_caller_confirm(&s->w, &s->c, &caller), ERR_OK);
	assert_int_equal(fake_db_count(STMT_API_KEY_GET), 1);
	assert_false(caller.is_assumed);
	assert_int_equal(custody_caller_confirm(&s->w, &s->c, &caller), ERR_OK);
	assert_int_equal(fake_db_count(STMT_API_KEY_GET), 1);
	s->c.callers = NULL;
}

static void who_cannot_be_confirmed_is_forgotten(void **state)
{
	struct service *s = *state;
	const char *hash, *key = make(s, "service", &hash);
	struct custody_caller caller;

	s->c.callers = custody_callers_new(&s->w);
	lay("service", hash, NULL, "t");
	assert_int_equal(recognise(s, key, &caller), ERR_OK);
	assert_int_equal(recognise(s, key, &caller), ERR_OK);
	assert_true(caller.is_assumed);
	fake_db_no_rows(STMT_API_KEY_GET);
	assert_int_equal(custody_caller_confirm(&s->w, &s->c, &caller), ERR_UNAUTHENTICATED);
	assert_int_equal(caller.role, 0);
	unit_same("actor", s->w.origin.actor, "anonymous");
	assert_int_equal(recognise(s, key, &caller), ERR_UNAUTHENTICATED);
	s->c.callers = NULL;
}

static void a_known_id_with_another_secret_is_looked_up(void **state)
{
	struct service *s = *state;
	const char *hash_a, *hash_b, *a = make(s, "admin", &hash_a), *b = make(s, "admin", &hash_b);
	struct custody_caller caller;

	s->c.callers = custody_callers_new(&s->w);
	lay("admin", hash_a, NULL, "t");
	assert_int_equal(recognise(s, a, &caller), ERR_OK);
	fake_db_forget();
	assert_int_equal(recognise(s, mixed(s, a, b), &caller), ERR_UNAUTHENTICATED);
	assert_int_equal(fake_db_count(STMT_API_KEY_GET), 1);
	s->c.callers = NULL;
}

static void who_is_not_there_is_nobody_and_who_cannot_be_asked_is_an_error(void **state)
{
	struct service *s = *state;
	const char *hash, *key = make(s, "admin", &hash);
	struct custody_caller caller;

	fake_db_no_rows(STMT_API_KEY_GET);
	assert_int_equal(recognise(s, key, &caller), ERR_UNAUTHENTICATED);
	lay("admin", "\\x00ff", NULL, "t");
	assert_int_equal(recognise(s, key, &caller), ERR_DB);
	lay("admin", NULL, NULL, "t");
	assert_int_equal(recognise(s, key, &caller), ERR_DB);
	lay("admin", hash, "no json", "t");
	assert_int_not_equal(recognise(s, key, &caller), ERR_OK);
	lay("admin", hash, NULL, "t");
	fake_db_fail(STMT_API_KEY_GET, ERR_DB_AWAY);
	assert_int_equal(recognise(s, key, &caller), ERR_DB_AWAY);
}

static void the_first_use_of_a_day_is_noted(void **state)
{
	struct service *s = *state;
	const char *hash, *key = make(s, "admin", &hash);
	struct custody_caller caller;

	lay("admin", hash, NULL, "t");
	assert_int_equal(recognise(s, key, &caller), ERR_OK);
	assert_int_equal(fake_db_count(STMT_API_KEY_USED), 0);
	lay("admin", hash, NULL, "f");
	assert_int_equal(recognise(s, key, &caller), ERR_OK);
	unit_same("id", fake_db_param(STMT_API_KEY_USED, 0, 1), id_of(s, key));
}

static void roles_are_known_by_name(void **state)
{
	static const struct {
		const char *name;
		unsigned role;
	} roles[] = {{"admin", CUSTODY_ADMIN}, {"operator", CUSTODY_OPERATOR},
		{"auditor", CUSTODY_AUDITOR}, {"service", CUSTODY_SERVICE}, {"root", 0},
		{"Admin", 0}, {"", 0}, {"admin ", 0}, {NULL, 0}};
	struct service *s = *state;
	const char *hash, *key = make(s, "admin", &hash);
	struct custody_caller caller;

	for (size_t i = 0; i < UNIT_COUNT(roles); i++) {
		assert_int_equal(custody_role_by_name(roles[i].name), roles[i].role);
		lay(roles[i].name, hash, NULL, "t");
		assert_int_equal(recognise(s, key, &caller), ERR_OK);
		assert_int_equal(caller.role, roles[i].role);
	}
	/* distinct, and none of them nobody */
	assert_int_equal(CUSTODY_ADMIN | CUSTODY_OPERATOR | CUSTODY_AUDITOR | CUSTODY_SERVICE, 15);
}

static void only_the_hash_of_a_key_is_kept_and_with_its_event(void **state)
{
	struct service *s = *state;
	struct custody_new_key key = {.name = "ci", .role = "admin"}, other = key;
	const struct fake_db_call *call;
	const char *secret;

	fake_db_role(STORE_OPERATOR);
	assert_int_equal(custody_caller_make_key(&s->w, &s->c, &key), ERR_OK);
	secret = work_printf(&s->w, "%.20s", secret_reveal(key.key) + SECRET_AT);
	for (int stmt = 0; stmt < 2; stmt++) {
		call = fake_db_call(stmt ? STMT_AUDIT_ADD : STMT_API_KEY_ADD, 0);
		assert_int_equal(call->fate, FAKE_DB_COMMITTED);
		for (size_t i = 0; i < call->n; i++)
			unit_lacks("parameter", call->params[i].text, secret);
	}
	unit_same("action", fake_db_param(STMT_AUDIT_ADD, 0, 8), "api_key.created");
	unit_same("object", fake_db_param(STMT_AUDIT_ADD, 0, 19), key.id);
	assert_int_equal(custody_caller_make_key(&s->w, &s->c, &other), ERR_OK);
	assert_false(secret_equal(key.key, other.key));
	assert_string_not_equal(key.id, other.id);
}

static void a_key_without_its_event_is_not_made(void **state)
{
	struct service *s = *state;
	struct custody_new_key key = {.name = "ci", .role = "admin"};

	fake_db_role(STORE_OPERATOR);
	fake_db_fail(STMT_AUDIT_ADD, ERR_DB);
	assert_int_equal(custody_caller_make_key(&s->w, &s->c, &key), ERR_DB);
	assert_int_equal(fake_db_call(STMT_API_KEY_ADD, 0)->fate, FAKE_DB_ROLLED_BACK);
	assert_int_equal(custody_caller_revoke_key(&s->w, &s->c, "0123456789ab"), ERR_NOT_FOUND);
	FAKE_DB_ROW(STMT_API_KEY_REVOKE, "0123456789ab");
	assert_int_equal(custody_caller_revoke_key(&s->w, &s->c, "0123456789ab"), ERR_DB);
	assert_int_equal(fake_db_call(STMT_API_KEY_REVOKE, 1)->fate, FAKE_DB_ROLLED_BACK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVICE_TEST(a_good_key_says_who_calls),
		SERVICE_TEST(one_wrong_character_costs_no_query),
		SERVICE_TEST(what_is_no_key_costs_no_query),
		SERVICE_TEST(the_right_id_with_a_wrong_secret_is_nobody),
		SERVICE_TEST(who_was_recognised_is_assumed_until_he_is_confirmed),
		SERVICE_TEST(who_cannot_be_confirmed_is_forgotten),
		SERVICE_TEST(a_known_id_with_another_secret_is_looked_up),
		SERVICE_TEST(who_is_not_there_is_nobody_and_who_cannot_be_asked_is_an_error),
		SERVICE_TEST(the_first_use_of_a_day_is_noted),
		SERVICE_TEST(roles_are_known_by_name),
		SERVICE_TEST(only_the_hash_of_a_key_is_kept_and_with_its_event),
		SERVICE_TEST(a_key_without_its_event_is_not_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
