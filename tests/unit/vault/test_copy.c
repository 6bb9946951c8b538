/* Sealed copies: they come back, the newest stays, broken ones are neither believed nor kept, and
 * links are refused. */
#include "support.h"

#include "base/text.h"
#include "vault/copy.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_GENERATION 5
#define AT_BLOB 13
#define AT_KEY_ID (AT_BLOB + 6)

static struct vault_keyring *keyring;
static char *state_dir, *key_dir;

static int setup(void **state)
{
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	state_dir = support_dir();
	key_dir = support_dir();
	support_golden_ring(key_dir, "copy");
	keyring = support_load(&w, key_dir, VAULT_RING_BIT(VAULT_RING_COPY));
	work_end(&w);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vault_keyring_free(keyring);
	support_remove(state_dir);
	support_remove(key_dir);
	return 0;
}

static enum err put(
	const char *client, const char *provider, int64_t generation, const char *content)
{
	struct work w;
	enum err err;

	work_begin(&w, SUPPORT_BUDGET_MS);
	err = vault_copy_write(
		&w, keyring, state_dir, client, provider, generation, support_secret(&w, content));
	work_end(&w);
	return err;
}

static enum err get(const char *client, const char *provider)
{
	struct secret *content = NULL;
	int64_t generation;
	struct work w;
	enum err err;

	work_begin(&w, SUPPORT_BUDGET_MS);
	err = vault_copy_read(&w, keyring, state_dir, client, provider, &generation, &content);
	assert_int_equal(err == ERR_OK, content != NULL);
	work_end(&w);
	return err;
}

static void assert_copy(
	const char *client, const char *provider, int64_t expected, const char *text)
{
	struct secret *content;
	int64_t generation;
	struct work w;

	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(
		vault_copy_read(&w, keyring, state_dir, client, provider, &generation, &content),
		ERR_OK);
	assert_int_equal(generation, expected);
	assert_string_equal(secret_reveal(content), text);
	work_end(&w);
}

static const char *at(char path[512], const char *below)
{
	snprintf(path, 512, "%s/%s", state_dir, below);
	return path;
}

static mode_t mode_of(const char *below)
{
	char path[512];
	struct stat info;

	assert_int_equal(lstat(at(path, below), &info), 0);
	return info.st_mode & 07777;
}

static size_t entries(const char *below)
{
	char path[512];
	DIR *dir = opendir(at(path, below));
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static void a_copy_comes_back(void **state)
{
	(void)state;
	assert_int_equal(get("acme", "zoho_crm"), ERR_NOT_FOUND);
	assert_int_equal(put("acme", "zoho_crm", 1, "one"), ERR_OK);
	assert_int_equal(put("acme", "zoho_calendar", 7, "seven"), ERR_OK);
	assert_int_equal(put("a.b-c_D9", "zoho_crm", INT64_MAX, ""), ERR_OK);
	assert_copy("acme", "zoho_crm", 1, "one");
	assert_copy("acme", "zoho_calendar", 7, "seven");
	assert_copy("a.b-c_D9", "zoho_crm", INT64_MAX, "");
	assert_int_equal(get("acme", "quickbooks"), ERR_NOT_FOUND);
	assert_int_equal(get("globex", "zoho_crm"), ERR_NOT_FOUND);
}

static void nobody_else_can_read_it(void **state)
{
	mode_t before = umask(0);

	(void)state;
	assert_int_equal(put("acme", "zoho_crm", 1, "one"), ERR_OK);
	umask(before);
	assert_int_equal(mode_of("copies"), 0700);
	assert_int_equal(mode_of("copies/acme"), 0700);
	assert_int_equal(mode_of("copies/acme/zoho_crm.vst"), 0600);
	assert_int_equal(entries("copies/acme"), 1);
}

static void the_newest_stays(void **state)
{
	(void)state;
	assert_int_equal(put("acme", "zoho_crm", 5, "five"), ERR_OK);
	assert_int_equal(put("acme", "zoho_crm", 4, "four"), ERR_CONFLICT);
	assert_copy("acme", "zoho_crm", 5, "five");
	assert_int_equal(put("acme", "zoho_crm", 5, "five again"), ERR_OK);
	assert_copy("acme", "zoho_crm", 5, "five again");
	assert_int_equal(put("acme", "zoho_crm", 6, "six"), ERR_OK);
	assert_copy("acme", "zoho_crm", 6, "six");
}

/* Whether a write that others race with ended as it should: what stands is ours or newer, and
 * newer when ours was refused. */
static int is_told_the_truth(enum err err, int64_t generation)
{
	struct secret *content = NULL;
	int64_t there = 0;
	struct work w;
	int read;

	work_begin(&w, SUPPORT_BUDGET_MS);
	read = vault_copy_read(&w, keyring, state_dir, "acme", "zoho_crm", &there, &content) ==
	       ERR_OK;
	work_end(&w);
	return read &&
	       (err == ERR_OK ? there >= generation : err == ERR_CONFLICT && there > generation);
}

static void the_newest_stays_among_many_writers(void **state)
{
	enum { WRITERS = 6, EACH = 40 };

	(void)state;
	for (int i = 0; i < WRITERS; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid > 0)
			continue;
		/* Each writer rises, so that a late write of a lower one would be the last word. */
		for (int k = 0; k < EACH; k++) {
			char text[16];
			int generation = k * WRITERS + i + 1;

			snprintf(text, sizeof(text), "%d", generation);
			if (!is_told_the_truth(
				    put("acme", "zoho_crm", generation, text), generation))
				_exit(1);
		}
		_exit(0);
	}
	for (int i = 0; i < WRITERS; i++) {
		int status = 1;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	assert_copy("acme", "zoho_crm", WRITERS * EACH, "240");
	assert_int_equal(entries("copies/acme"), 1);
}

static void write_raw(const char *client, const char *provider, const void *bytes, size_t n)
{
	char dir[512], name[96];
	char below[128];

	snprintf(below, sizeof(below), "copies/%s", client);
	snprintf(name, sizeof(name), "%s.vst", provider);
	support_write(at(dir, below), name, bytes, n, 0600);
}

static void every_flip_and_every_cut_is_noticed(void **state)
{
	char dir[512], *bytes;
	struct work w;
	size_t n;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(put("acme", "zoho_crm", 5, "five"), ERR_OK);
	bytes = support_read(&w, at(dir, "copies/acme"), "zoho_crm.vst", &n);
	for (size_t bit = 0; bit < n * 8; bit++) {
		int in_key_id = bit / 8 >= AT_KEY_ID && bit / 8 < AT_KEY_ID + 4;

		bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
		write_raw("acme", "zoho_crm", bytes, n);
		assert_int_equal(get("acme", "zoho_crm"), in_key_id ? ERR_KEY_UNKNOWN : ERR_SEALED);
		bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
	}
	for (size_t cut = 0; cut < n; cut++) {
		write_raw("acme", "zoho_crm", bytes, cut);
		assert_int_equal(get("acme", "zoho_crm"), ERR_SEALED);
	}
	write_raw("acme", "zoho_crm", bytes, n);
	assert_copy("acme", "zoho_crm", 5, "five");
	work_end(&w);
}

static void a_copy_under_another_name_does_not_open(void **state)
{
	char dir[512], *bytes;
	struct work w;
	size_t n;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(put("acme", "zoho_crm", 5, "five"), ERR_OK);
	assert_int_equal(put("globex", "zoho_crm", 5, "other"), ERR_OK);
	bytes = support_read(&w, at(dir, "copies/acme"), "zoho_crm.vst", &n);
	write_raw("globex", "zoho_crm", bytes, n);
	write_raw("acme", "zoho_calendar", bytes, n);
	assert_int_equal(get("globex", "zoho_crm"), ERR_SEALED);
	assert_int_equal(get("acme", "zoho_calendar"), ERR_SEALED);
	work_end(&w);
}

/* A broken header that claims a high generation must not keep later copies away. */
static void a_broken_copy_is_replaced_whatever_it_claims(void **state)
{
	char dir[512], *bytes;
	struct work w;
	size_t n;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(put("acme", "zoho_crm", 5, "five"), ERR_OK);
	bytes = support_read(&w, at(dir, "copies/acme"), "zoho_crm.vst", &n);
	bytes[AT_GENERATION] = 0x7f;
	write_raw("acme", "zoho_crm", bytes, n);
	assert_int_equal(put("acme", "zoho_crm", 6, "six"), ERR_OK);
	assert_copy("acme", "zoho_crm", 6, "six");
	write_raw("acme", "zoho_crm", "", 0);
	assert_int_equal(put("acme", "zoho_crm", 6, "six"), ERR_OK);
	assert_copy("acme", "zoho_crm", 6, "six");
	work_end(&w);
}

/* A newer copy whose key we lack may be sound: it stays, and the writer is told that his is not
 * stored. */
static void a_newer_copy_of_an_unknown_key_stays(void **state)
{
	char dir[512], *bytes;
	struct work w;
	size_t n;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(put("acme", "zoho_crm", 5, "five"), ERR_OK);
	bytes = support_read(&w, at(dir, "copies/acme"), "zoho_crm.vst", &n);
	bytes[AT_KEY_ID] ^= 1;
	write_raw("acme", "zoho_crm", bytes, n);
	assert_int_equal(put("acme", "zoho_crm", 4, "four"), ERR_KEY_UNKNOWN);
	assert_int_equal(get("acme", "zoho_crm"), ERR_KEY_UNKNOWN);
	assert_int_equal(put("acme", "zoho_crm", 5, "five"), ERR_OK);
	assert_copy("acme", "zoho_crm", 5, "five");
	work_end(&w);
}

static void links_are_never_followed(void **state)
{
	char path[512], target[512], other[512];

	(void)state;
	assert_int_equal(put("acme", "zoho_crm", 5, "five"), ERR_OK);
	/* the file */
	at(path, "copies/acme/zoho_crm.vst");
	at(target, "moved");
	assert_int_equal(rename(path, target), 0);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(get("acme", "zoho_crm"), ERR_IO);
	assert_int_equal(put("acme", "zoho_crm", 6, "six"), ERR_IO);
	assert_int_equal(unlink(path), 0);
	/* the client's folder */
	at(path, "copies/globex");
	at(other, "elsewhere");
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(put("globex", "zoho_crm", 6, "six"), ERR_IO);
	assert_int_equal(get("globex", "zoho_crm"), ERR_IO);
	assert_int_equal(entries("elsewhere"), 0);
}

/* --- many ------------------------------------------------------------------------------------- */

struct one {
	const char *client, *provider;
	int64_t generation;
	const char *content;
};

/* Puts them into one batch and finishes it; what is not added has its error as its outcome. */
static void put_batch(const struct one *each, size_t n, struct file_outcome *outcomes)
{
	struct vault_copy_batch *batch;
	struct work w;

	work_begin(&w, SUPPORT_BUDGET_MS);
	batch = vault_copy_batch_new(&w, keyring, state_dir);
	for (size_t i = 0; i < n; i++) {
		struct work own;
		enum err err;

		work_begin(&own, SUPPORT_BUDGET_MS);
		err = vault_copy_batch_add(&own, batch, each[i].client, each[i].provider,
			each[i].generation, support_secret(&own, each[i].content), &outcomes[i]);
		if (err)
			outcomes[i] = (struct file_outcome){err, NULL};
		work_end(&own);
	}
	vault_copy_batch_finish(batch);
	for (size_t i = 0; i < n; i++)
		outcomes[i].cause = NULL;
	work_end(&w);
}

/* In order, out of order, twice the same client: they all come back. */
static void many_copies_come_back(void **state)
{
	static const struct one each[] = {{"acme", "zoho_calendar", 1, "one"},
		{"acme", "zoho_crm", 2, "two"}, {"globex", "zoho_crm", 3, "three"},
		{"a.b", "zoho_crm", 4, "four"}, {"acme", "other", 5, "five"},
		{"Z", "zoho_crm", 6, "six"}};
	struct file_outcome outcomes[6];

	(void)state;
	put_batch(each, 6, outcomes);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(outcomes[i].err, ERR_OK);
		assert_copy(each[i].client, each[i].provider, each[i].generation, each[i].content);
	}
	assert_int_equal(entries("copies/acme"), 3);
	assert_int_equal(mode_of("copies/Z"), 0700);
	assert_int_equal(mode_of("copies/Z/zoho_crm.vst"), 0600);
}

static void more_than_a_batch_holds_are_finished_in_between(void **state)
{
	enum { MANY = 2 * FILE_BATCH_MAX + 3 };
	static struct one each[MANY];
	static char clients[MANY][16];
	struct file_outcome outcomes[MANY];

	(void)state;
	for (int i = 0; i < MANY; i++) {
		snprintf(clients[i], sizeof(clients[i]), "client-%03d", i);
		each[i] = (struct one){clients[i], "zoho_crm", i + 1, clients[i]};
	}
	put_batch(each, MANY, outcomes);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(outcomes[i].err, ERR_OK);
		assert_copy(clients[i], "zoho_crm", i + 1, clients[i]);
	}
}

static void one_of_many_is_refused_alone(void **state)
{
	static const struct one each[] = {{"acme", "zoho_crm", 4, "four"},
		{"bad/name", "zoho_crm", 1, "x"}, {"globex", "zoho_crm", 1, "one"},
		{"initech", "zoho_crm", 1, "one"}};
	struct file_outcome outcomes[4];
	char path[512];

	(void)state;
	assert_int_equal(put("acme", "zoho_crm", 5, "five"), ERR_OK);
	assert_int_equal(symlink("acme", at(path, "copies/globex")), 0);
	put_batch(each, 4, outcomes);
	assert_int_equal(outcomes[0].err, ERR_CONFLICT);
	assert_int_equal(outcomes[1].err, ERR_INPUT);
	assert_int_equal(outcomes[2].err, ERR_IO);
	assert_int_equal(outcomes[3].err, ERR_OK);
	assert_copy("acme", "zoho_crm", 5, "five");
	assert_copy("initech", "zoho_crm", 1, "one");
	assert_int_equal(entries("copies/acme"), 1);
}

/* Until the batch is finished the old copy stands, and nobody else writes. */
static void a_batch_keeps_others_off_and_leaves_nothing_behind(void **state)
{
	struct file_outcome outcome;
	struct vault_copy_batch *batch;
	struct work w;
	char path[512];
	int fd;

	(void)state;
	assert_int_equal(put("acme", "zoho_crm", 5, "five"), ERR_OK);
	fd = open(at(path, "copies/acme"), O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	work_begin(&w, SUPPORT_BUDGET_MS);
	batch = vault_copy_batch_new(&w, keyring, state_dir);
	for (int i = 0; i < 2; i++) {
		int64_t generation = 6 + i;

		assert_int_equal(vault_copy_batch_add(&w, batch, "acme", "zoho_crm", generation,
					 support_secret(&w, "newer"), &outcome),
			ERR_OK);
		assert_copy("acme", "zoho_crm", 5 + i, i ? "newer" : "five");
		assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
		if (i == 0) {
			vault_copy_batch_finish(batch);
			assert_int_equal(outcome.err, ERR_OK);
			assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
			assert_int_equal(flock(fd, LOCK_UN), 0);
		}
	}
	work_end(&w); /* the second was not finished */
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
	assert_copy("acme", "zoho_crm", 6, "newer");
	assert_int_equal(entries("copies/acme"), 1);
}

/* Batches that want the same folders in other orders neither wait for each other for ever nor
 * overtake each other. */
static void batches_do_not_wait_in_a_ring(void **state)
{
	enum { WRITERS = 4, EACH = 25 };
	static const char *const clients[] = {"a", "b", "c", "d"};

	(void)state;
	for (int writer = 0; writer < WRITERS; writer++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid > 0)
			continue;
		alarm(30);
		for (int k = 0; k < EACH; k++) {
			struct one each[4];
			struct file_outcome outcomes[4];

			for (int i = 0; i < 4; i++) {
				int at = (writer & 1 ? 3 - i : i + writer) % 4;

				each[i] = (struct one){
					clients[at], "zoho_crm", k * WRITERS + writer + 1, "x"};
			}
			put_batch(each, 4, outcomes);
			for (int i = 0; i < 4; i++)
				if (outcomes[i].err && outcomes[i].err != ERR_CONFLICT)
					_exit(1);
		}
		_exit(0);
	}
	for (int i = 0; i < WRITERS; i++) {
		int status = 1;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	for (int i = 0; i < 4; i++)
		assert_copy(clients[i], "zoho_crm", WRITERS * EACH, "x");
}

/* systemd and operators make the state folder itself a link. */
static void the_state_folder_may_be_a_link(void **state)
{
	char *was = state_dir, path[512];

	(void)state;
	assert_int_equal(mkdir(at(path, "real"), 0700), 0);
	assert_true(asprintf(&state_dir, "%s/link", was) > 0);
	assert_int_equal(symlink(path, state_dir), 0);
	assert_int_equal(put("acme", "zoho_crm", 1, "one"), ERR_OK);
	assert_copy("acme", "zoho_crm", 1, "one");
	free(state_dir);
	state_dir = was;
}

static void names_that_are_paths_are_refused(void **state)
{
	static const char *const bad[] = {"", ".", "..", "../x", "a/b", ".hidden", "/etc"};
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(put(bad[i], "zoho_crm", 1, "x"), ERR_INPUT);
		assert_int_equal(put("acme", bad[i], 1, "x"), ERR_INPUT);
		assert_int_equal(get(bad[i], "zoho_crm"), ERR_INPUT);
		assert_int_equal(vault_copy_remove(&w, state_dir, bad[i], "zoho_crm"), ERR_INPUT);
	}
	assert_int_equal(entries(""), 0);
	work_end(&w);
}

static void a_removed_copy_is_gone(void **state)
{
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(vault_copy_remove(&w, state_dir, "acme", "zoho_crm"), ERR_OK);
	assert_int_equal(put("acme", "zoho_crm", 1, "one"), ERR_OK);
	assert_int_equal(put("acme", "zoho_calendar", 1, "one"), ERR_OK);
	assert_int_equal(vault_copy_remove(&w, state_dir, "acme", "zoho_crm"), ERR_OK);
	assert_int_equal(get("acme", "zoho_crm"), ERR_NOT_FOUND);
	assert_copy("acme", "zoho_calendar", 1, "one");
	assert_int_equal(vault_copy_remove(&w, state_dir, "acme", "zoho_crm"), ERR_OK);
	work_end(&w);
}

static void a_state_folder_that_is_away_is_an_error(void **state)
{
	char *was = state_dir;

	(void)state;
	assert_true(asprintf(&state_dir, "%s/away", was) > 0);
	assert_int_equal(put("acme", "zoho_crm", 1, "one"), ERR_IO);
	assert_int_equal(get("acme", "zoho_crm"), ERR_IO);
	free(state_dir);
	state_dir = was;
}

static void golden_copy(struct work *w, char **word)
{
	struct secret *content;
	int64_t generation;
	size_t n, file_n;
	const unsigned char *expected = support_unhex(w, word[3], &n);
	const unsigned char *file = support_unhex(w, word[4], &file_n);

	assert_int_equal(put(word[0], "other", 1, "makes the folder"), ERR_OK);
	write_raw(word[0], word[1], file, file_n);
	assert_int_equal(
		vault_copy_read(w, keyring, state_dir, word[0], word[1], &generation, &content),
		ERR_OK);
	assert_int_equal(generation, strtoll(word[2], NULL, 10));
	assert_int_equal(secret_len(content), n);
	assert_memory_equal(secret_reveal(content), expected, n);
}

static void format_1_is_read_for_ever(void **state)
{
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(support_lines(&w, "seal-v1/copy.txt", 5, golden_copy), 1);
	work_end(&w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_copy_comes_back),
		TEST(nobody_else_can_read_it),
		TEST(the_newest_stays),
		TEST(the_newest_stays_among_many_writers),
		TEST(every_flip_and_every_cut_is_noticed),
		TEST(a_copy_under_another_name_does_not_open),
		TEST(a_broken_copy_is_replaced_whatever_it_claims),
		TEST(a_newer_copy_of_an_unknown_key_stays),
		TEST(links_are_never_followed),
		TEST(many_copies_come_back),
		TEST(more_than_a_batch_holds_are_finished_in_between),
		TEST(one_of_many_is_refused_alone),
		TEST(a_batch_keeps_others_off_and_leaves_nothing_behind),
		TEST(batches_do_not_wait_in_a_ring),
		TEST(the_state_folder_may_be_a_link),
		TEST(names_that_are_paths_are_refused),
		TEST(a_removed_copy_is_gone),
		TEST(a_state_folder_that_is_away_is_an_error),
		TEST(format_1_is_read_for_ever),
	};

	alarm(120); /* who waits for a folder for ever has failed */
	return cmocka_run_group_tests_name("vault_copy", tests, NULL, NULL);
}
