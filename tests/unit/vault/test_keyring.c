/* Which key rings are used, which are refused and why, how keys are added, and when files are read
 * again. */
#include "support.h"

#include "base/buf.h"
#include "base/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B "f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define SOME_DAY "2026-01-31T12:00:00.000Z"
#define TOKEN VAULT_RING_BIT(VAULT_RING_TOKEN)

int64_t __wrap_clock_monotonic_ms(void);
uid_t __wrap_geteuid(void);
uid_t __real_geteuid(void);

/* The clock of the rule "at most once a second". */
static int64_t now_ms;

int64_t __wrap_clock_monotonic_ms(void)
{
	return now_ms;
}

/* Added to our user's id: who is not root cannot give files away, but can be taken for somebody
 * else. */
static uid_t somebody_else;

uid_t __wrap_geteuid(void)
{
	return __real_geteuid() + somebody_else;
}

static char *dir;

static int setup(void **state)
{
	(void)state;
	unsetenv("CREDENTIALS_DIRECTORY");
	dir = support_dir();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	support_remove(dir);
	return 0;
}

/* Loads the token ring, which must end with this error, and this text in its detail. */
static void assert_load(enum err expected, const char *detail)
{
	struct vault_keyring *keyring = NULL;
	struct work w;
	enum err err;

	work_begin(&w, SUPPORT_BUDGET_MS);
	err = vault_keyring_load(&w, dir, TOKEN, &keyring);
	if (err != expected)
		fail_msg("%s, not %s: %s", err_slug(err), err_slug(expected),
			w.detail ? w.detail : "");
	assert_int_equal(err == ERR_OK, keyring != NULL);
	if (detail) {
		assert_non_null(w.detail);
		if (!strstr(w.detail, detail))
			fail_msg("\"%s\" does not say \"%s\"", w.detail, detail);
		assert_null(strstr(w.detail, dir));
	}
	vault_keyring_free(keyring);
	work_end(&w);
}

static void path_of(char path[512], const char *name)
{
	snprintf(path, 512, "%s/%s", dir, name);
}

static void a_sound_ring_is_read(void **state)
{
	const struct vault_key *key;
	struct vault_keyring *keyring;
	struct vault_key_info *infos;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	support_golden_ring(dir, "token");
	keyring = support_load(&w, dir, TOKEN);
	key = vault_keyring_primary(keyring, VAULT_RING_TOKEN);
	assert_int_equal(key->id, 0x7a11c0de);
	assert_int_equal(secret_len(key->key), 32);
	assert_ptr_equal(vault_keyring_find(keyring, VAULT_RING_TOKEN, 0x7a11c0de), key);
	assert_non_null(vault_keyring_find(keyring, VAULT_RING_TOKEN, 0xfffffffe));
	assert_null(vault_keyring_find(keyring, VAULT_RING_TOKEN, 0x0badc0de));
	assert_null(vault_keyring_find(keyring, VAULT_RING_TOKEN, 1));
	assert_null(vault_keyring_find(keyring, VAULT_RING_TOKEN, 2));
	assert_null(vault_keyring_primary(keyring, VAULT_RING_APP));
	assert_int_equal(vault_keyring_list(&w, keyring, VAULT_RING_TOKEN, &infos), 4);
	assert_string_equal(infos[0].id, "00000001");
	assert_int_equal(infos[0].status, VAULT_KEY_DESTROYED);
	assert_string_equal(infos[1].id, "7a11c0de");
	assert_true(infos[1].primary);
	assert_string_equal(infos[1].created, "2026-01-02T12:00:00.000Z");
	assert_false(infos[2].primary);
	assert_int_equal(infos[3].status, VAULT_KEY_DISABLED);
	assert_int_equal(vault_keyring_list(&w, keyring, VAULT_RING_APP, &infos), 0);
	vault_keyring_free(keyring);
	work_end(&w);
}

static void names_go_both_ways(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VAULT_RING_COUNT; i++)
		assert_int_equal(vault_ring_by_name(vault_ring_name((enum vault_ring)i)), i);
	assert_int_equal(vault_ring_by_name("tokens"), VAULT_RING_COUNT);
	assert_string_equal(vault_ring_name(VAULT_RING_SESSION), "session");
}

static void a_missing_ring_says_how_it_is_made(void **state)
{
	(void)state;
	assert_load(
		ERR_KEY_UNKNOWN, "token.ring: there is no such key ring; vestalctl key add token");
}

static void files_that_others_may_use_are_refused(void **state)
{
	static const mode_t bad[] = {0640, 0604, 0620, 0602, 0610, 0644, 0660, 0666};
	static const mode_t good[] = {0600, 0400, 0700};
	char path[512];

	(void)state;
	support_golden_ring(dir, "token");
	path_of(path, "token.ring");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(chmod(path, bad[i]), 0);
		assert_load(ERR_KEY_UNSAFE, "token.ring: others than its owner may use it");
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(chmod(path, good[i]), 0);
		assert_load(ERR_OK, NULL);
	}
}

static void folders_that_others_may_write_to_are_refused(void **state)
{
	(void)state;
	support_golden_ring(dir, "token");
	assert_int_equal(chmod(dir, 0770), 0);
	assert_load(ERR_KEY_UNSAFE, "the key folder can be written to by others");
	assert_int_equal(chmod(dir, 01777), 0);
	assert_load(ERR_KEY_UNSAFE, "the key folder can be written to by others");
	assert_int_equal(chmod(dir, 0755), 0);
	assert_load(ERR_OK, NULL);
}

static void only_regular_files_are_read(void **state)
{
	char path[512], target[512];

	(void)state;
	support_golden_ring(dir, "token");
	path_of(path, "token.ring");
	path_of(target, "elsewhere");
	assert_int_equal(rename(path, target), 0);
	assert_int_equal(symlink(target, path), 0);
	assert_load(ERR_KEY_UNSAFE, "token.ring: it is a symbolic link");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_load(ERR_KEY_UNSAFE, "token.ring: it is not a regular file");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_load(ERR_KEY_UNSAFE, "token.ring: it is not a regular file");
}

/* Root's own are everybody's, therefore root gives them away. */
static void files_and_folders_given_away_are_refused(const char *path)
{
	assert_int_equal(chown(path, 12345, 0), 0);
	assert_load(ERR_KEY_UNSAFE, "token.ring: it belongs to another user");
	assert_int_equal(chown(path, 0, 0), 0);
	assert_int_equal(chown(dir, 12345, 0), 0);
	assert_load(ERR_KEY_UNSAFE, "the key folder belongs to another user");
	assert_int_equal(chown(dir, 0, 0), 0);
}

static void files_and_folders_of_another_user_are_refused(void **state)
{
	char path[512];

	(void)state;
	support_golden_ring(dir, "token");
	path_of(path, "token.ring");
	if (geteuid() == 0)
		files_and_folders_given_away_are_refused(path);
	somebody_else = 1;
	assert_load(getuid() == 0 ? ERR_OK : ERR_KEY_UNSAFE, NULL);
	somebody_else = 0;
	assert_load(ERR_OK, NULL);
}

static void assert_text(const char *text, size_t n, enum err expected, const char *detail)
{
	support_write(dir, "token.ring", text, n, 0600);
	assert_load(expected, detail);
}

/* Any one byte changed: the MAC, the parser or a rule has to see it. */
static void every_edited_byte_is_refused(void **state)
{
	struct work w;
	size_t n;
	char *text;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	text = support_golden(&w, "seal-v1/token.ring", &n);
	for (size_t i = 0; i < n - 1; i++) {
		char was = text[i];

		text[i] = was == '1' ? '2' : '1';
		assert_text(text, n, ERR_KEY_UNSAFE, "token.ring: ");
		text[i] = was;
		assert_text(text, i, ERR_KEY_UNSAFE, "token.ring: ");
	}
	assert_text(text, n, ERR_OK, NULL);
	work_end(&w);
}

static void a_file_too_large_is_refused(void **state)
{
	char *text = malloc(VAULT_RING_TEXT_MAX_BYTES + 1);

	(void)state;
	memset(text, ' ', VAULT_RING_TEXT_MAX_BYTES + 1);
	assert_text(
		text, VAULT_RING_TEXT_MAX_BYTES + 1, ERR_KEY_UNSAFE, "token.ring: it is too large");
	free(text);
}

static void another_rings_file_is_refused(void **state)
{
	struct work w;
	size_t n;
	char *text;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	text = support_golden(&w, "seal-v1/app.ring", &n);
	assert_text(text, n, ERR_KEY_UNSAFE, "token.ring: it holds another ring");
	work_end(&w);
}

static void assert_keys(const char *primary, const struct support_key *keys, size_t n,
	const char *extra, enum err expected, const char *detail)
{
	struct work w;
	const char *text;

	work_begin(&w, SUPPORT_BUDGET_MS);
	text = support_ring(&w, "token", primary, keys, n, extra);
	assert_text(text, strlen(text), expected, detail);
	work_end(&w);
}

static void unsound_rings_are_refused_though_their_mac_fits(void **state)
{
	static const struct support_key a = {"0000000a", "enabled", SOME_DAY, KEY_A};
	const struct support_key fine[] = {a, {"0000000b", "destroyed", SOME_DAY, NULL}};
	const struct support_key destroyed[] = {{"0000000a", "destroyed", SOME_DAY, KEY_A},
		{"0000000b", "enabled", SOME_DAY, KEY_B}};
	const struct support_key disabled[] = {{"0000000a", "disabled", SOME_DAY, KEY_A}};
	const struct support_key twice[] = {a, {"0000000a", "enabled", SOME_DAY, KEY_B}};
	const struct support_key zero[] = {{"00000000", "enabled", SOME_DAY, KEY_A}};
	const struct support_key capitals[] = {{"0000000A", "enabled", SOME_DAY, KEY_A}};
	const struct support_key odd[] = {{"0000000a", "resting", SOME_DAY, KEY_A}};
	const struct support_key when[] = {{"0000000a", "enabled", "yesterday", KEY_A}};
	const struct support_key keyless[] = {
		{"0000000a", "destroyed", SOME_DAY, NULL}, {"0000000b", "enabled", SOME_DAY, NULL}};
	const struct support_key brief[] = {{"0000000a", "enabled", SOME_DAY, "00112233"}};

	(void)state;
	assert_keys("0000000a", fine, 2, "", ERR_OK, NULL);
	assert_keys("0000000a", fine, 2, "\"note\":\"x\",", ERR_KEY_UNSAFE, "unknown field");
	assert_keys(
		"0000000a", fine, 2, "\"ring\":\"token\",", ERR_KEY_UNSAFE, "not a JSON object");
	assert_keys("0000000b", fine, 2, "", ERR_KEY_UNSAFE, "primary key");
	assert_keys("0000000c", fine, 2, "", ERR_KEY_UNSAFE, "primary key");
	assert_keys("0000000a", destroyed, 2, "", ERR_KEY_UNSAFE, "a destroyed key has bytes");
	assert_keys("0000000a", disabled, 1, "", ERR_KEY_UNSAFE, "primary key");
	assert_keys("0000000a", twice, 2, "", ERR_KEY_UNSAFE, "twice");
	assert_keys("00000000", zero, 1, "", ERR_KEY_UNSAFE, "is zero");
	assert_keys("0000000A", capitals, 1, "", ERR_KEY_UNSAFE, "8 hex digits");
	assert_keys("0000000a", odd, 1, "", ERR_KEY_UNSAFE, "status");
	assert_keys("0000000a", when, 1, "", ERR_KEY_UNSAFE, "time of creation");
	assert_keys("0000000b", keyless, 2, "", ERR_KEY_UNSAFE, "a field too many");
	assert_keys("0000000a", brief, 1, "", ERR_KEY_UNSAFE, "64 hex digits");
	assert_keys("0000000a", fine, 0, "", ERR_KEY_UNSAFE, "list of 1 to 64");
}

static void other_json_is_refused(void **state)
{
	static const char *const texts[] = {"", "[]", "{}", "null",
		"{\"format\":\"vestal-ring-2\"}",
		"{\"format\":\"vestal-ring-1\",\"ring\":\"token\",\"primary\":1,\"keys\":{},"
		"\"mac\":[]}",
		"{\"format\":\"vestal-ring-1\",\"ring\":\"token\",\"primary\":\"\",\"keys\":[1],"
		"\"mac\":\"\"}"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_text(texts[i], strlen(texts[i]), ERR_KEY_UNSAFE, "token.ring: ");
}

static void credentials_stand_in_for_files(void **state)
{
	char *credentials = support_dir(), path[512];

	(void)state;
	support_golden_ring(credentials, "token");
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", credentials, 1), 0);
	assert_load(ERR_OK, NULL);
	snprintf(path, sizeof(path), "%s/token.ring", credentials);
	assert_int_equal(chmod(path, 0440), 0);
	assert_load(geteuid() == 0 ? ERR_OK : ERR_KEY_UNSAFE, NULL);
	assert_int_equal(chmod(path, 0444), 0);
	assert_load(ERR_KEY_UNSAFE, "token.ring: others");
	/* The folder comes first: what is there and unsafe is not passed over. */
	assert_int_equal(chmod(path, 0400), 0);
	support_write(dir, "token.ring", "{}", 2, 0600);
	assert_load(ERR_KEY_UNSAFE, "token.ring: its format");
	unsetenv("CREDENTIALS_DIRECTORY");
	support_remove(credentials);
}

static struct vault_key_info added(struct work *w)
{
	struct vault_key_info made;
	enum err err = vault_keyring_add(w, dir, VAULT_RING_TOKEN, &made);

	if (err)
		fail_msg("%s: %s", err_slug(err), w->detail ? w->detail : "");
	assert_int_equal(strlen(made.id), 8);
	assert_string_not_equal(made.id, "00000000");
	return made;
}

static void the_first_key_is_primary_and_later_ones_are_not(void **state)
{
	struct vault_key_info first, second, *infos;
	struct vault_keyring *keyring;
	char path[512];
	struct stat info;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(rmdir(dir), 0);
	first = added(&w);
	assert_true(first.primary);
	assert_int_equal(stat(dir, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0700);
	path_of(path, "token.ring");
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
	second = added(&w);
	assert_false(second.primary);
	assert_int_equal(second.status, VAULT_KEY_ENABLED);
	keyring = support_load(&w, dir, TOKEN);
	assert_int_equal(vault_keyring_list(&w, keyring, VAULT_RING_TOKEN, &infos), 2);
	assert_string_equal(infos[0].id, first.id);
	assert_true(infos[0].primary);
	assert_string_equal(infos[1].id, second.id);
	assert_int_equal(infos[1].status, VAULT_KEY_ENABLED);
	assert_false(secret_equal(vault_keyring_primary(keyring, VAULT_RING_TOKEN)->key,
		vault_keyring_find(
			keyring, VAULT_RING_TOKEN, (uint32_t)strtoul(second.id, NULL, 16))
			->key));
	vault_keyring_free(keyring);
	work_end(&w);
}

static void a_ring_has_room_for_64_keys(void **state)
{
	struct vault_key_info made;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	for (int i = 0; i < VAULT_RING_KEYS_MAX; i++)
		added(&w);
	assert_int_equal(vault_keyring_add(&w, dir, VAULT_RING_TOKEN, &made), ERR_CONFLICT);
	assert_load(ERR_OK, NULL);
	work_end(&w);
}

static void nothing_is_added_to_an_unsafe_ring(void **state)
{
	struct vault_key_info made;
	char path[512], *after;
	struct work w;
	size_t n, after_n;
	const char *before;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	support_golden_ring(dir, "token");
	path_of(path, "token.ring");
	assert_int_equal(chmod(path, 0640), 0);
	before = support_read(&w, dir, "token.ring", &n);
	assert_int_equal(vault_keyring_add(&w, dir, VAULT_RING_TOKEN, &made), ERR_KEY_UNSAFE);
	assert_non_null(strstr(w.detail, "token.ring: others"));
	after = support_read(&w, dir, "token.ring", &after_n);
	assert_int_equal(after_n, n);
	assert_memory_equal(after, before, n);
	work_end(&w);
}

static void adders_at_once_lose_no_key(void **state)
{
	enum { ADDERS = 8, EACH = 6 };
	struct vault_key_info *infos;
	struct vault_keyring *keyring;
	struct work w;

	(void)state;
	for (int i = 0; i < ADDERS; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid > 0)
			continue;
		work_begin(&w, SUPPORT_BUDGET_MS);
		for (int k = 0; k < EACH; k++) {
			struct vault_key_info made;

			if (vault_keyring_add(&w, dir, VAULT_RING_TOKEN, &made))
				_exit(1);
		}
		_exit(0);
	}
	for (int i = 0; i < ADDERS; i++) {
		int status = 1;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	work_begin(&w, SUPPORT_BUDGET_MS);
	keyring = support_load(&w, dir, TOKEN);
	assert_int_equal(vault_keyring_list(&w, keyring, VAULT_RING_TOKEN, &infos), ADDERS * EACH);
	vault_keyring_free(keyring);
	work_end(&w);
}

static void an_unknown_key_has_the_files_read_again_once_a_second(void **state)
{
	struct vault_keyring *keyring;
	uint32_t id;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	now_ms = 5000;
	support_one_key(dir, "token", "0000000a");
	keyring = support_load(&w, dir, TOKEN);
	id = (uint32_t)strtoul(added(&w).id, NULL, 16);
	assert_non_null(vault_keyring_find(keyring, VAULT_RING_TOKEN, id));
	id = (uint32_t)strtoul(added(&w).id, NULL, 16);
	now_ms += 999;
	assert_null(vault_keyring_find(keyring, VAULT_RING_TOKEN, id));
	now_ms += 1;
	assert_non_null(vault_keyring_find(keyring, VAULT_RING_TOKEN, id));
	now_ms += 1000;
	assert_int_equal(vault_keyring_reload_if_changed(keyring), 0);
	added(&w);
	now_ms += 1000;
	assert_int_equal(vault_keyring_reload_if_changed(keyring), 1);
	vault_keyring_free(keyring);
	work_end(&w);
}

static void a_bad_new_file_leaves_the_old_keys(void **state)
{
	struct vault_keyring *keyring;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	support_one_key(dir, "token", "0000000a");
	keyring = support_load(&w, dir, TOKEN);
	support_write(dir, "token.ring", "{}", 2, 0600);
	assert_null(vault_keyring_find(keyring, VAULT_RING_TOKEN, 0xb));
	assert_non_null(vault_keyring_find(keyring, VAULT_RING_TOKEN, 0xa));
	support_one_key(dir, "token", "0000000b");
	now_ms += 1000;
	assert_non_null(vault_keyring_find(keyring, VAULT_RING_TOKEN, 0xb));
	assert_null(vault_keyring_find(keyring, VAULT_RING_TOKEN, 0xa));
	vault_keyring_free(keyring);
	work_end(&w);
}

static void files_that_became_unsafe_are_told_and_the_keys_stay(void **state)
{
	struct vault_keyring *keyring;
	char path[512];
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	now_ms += 1000;
	support_one_key(dir, "token", "0000000a");
	keyring = support_load(&w, dir, TOKEN);
	assert_int_equal(vault_keyring_is_stale(keyring), 0);
	path_of(path, "token.ring");
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(vault_keyring_reload_if_changed(keyring), 0);
	assert_int_equal(vault_keyring_is_stale(keyring), 1);
	assert_non_null(vault_keyring_find(keyring, VAULT_RING_TOKEN, 0xa));
	assert_non_null(vault_keyring_primary(keyring, VAULT_RING_TOKEN));
	now_ms += 1000; /* and goes on being told */
	assert_int_equal(vault_keyring_reload_if_changed(keyring), 0);
	assert_int_equal(vault_keyring_is_stale(keyring), 1);
	assert_int_equal(chmod(path, 0600), 0);
	now_ms += 1000;
	assert_int_equal(vault_keyring_reload_if_changed(keyring), 1);
	assert_int_equal(vault_keyring_is_stale(keyring), 0);
	assert_non_null(vault_keyring_find(keyring, VAULT_RING_TOKEN, 0xa));
	vault_keyring_free(keyring);
	work_end(&w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_sound_ring_is_read),
		TEST(names_go_both_ways),
		TEST(a_missing_ring_says_how_it_is_made),
		TEST(files_that_others_may_use_are_refused),
		TEST(folders_that_others_may_write_to_are_refused),
		TEST(only_regular_files_are_read),
		TEST(files_and_folders_of_another_user_are_refused),
		TEST(every_edited_byte_is_refused),
		TEST(a_file_too_large_is_refused),
		TEST(another_rings_file_is_refused),
		TEST(unsound_rings_are_refused_though_their_mac_fits),
		TEST(other_json_is_refused),
		TEST(credentials_stand_in_for_files),
		TEST(the_first_key_is_primary_and_later_ones_are_not),
		TEST(a_ring_has_room_for_64_keys),
		TEST(nothing_is_added_to_an_unsafe_ring),
		TEST(adders_at_once_lose_no_key),
		TEST(an_unknown_key_has_the_files_read_again_once_a_second),
		TEST(a_bad_new_file_leaves_the_old_keys),
		TEST(files_that_became_unsafe_are_told_and_the_keys_stay),
	};

	return cmocka_run_group_tests_name("vault_keyring", tests, NULL, NULL);
}
