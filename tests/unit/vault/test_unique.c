/*
 * No salt and no nonce comes twice, also in processes that were forked off one that had used its
 * generator already. 10^5 seals; with VESTAL_LONG=1, 10^6.
 */
#include "support.h"

#include "vault/seal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 8
#define PROCESSES (CHILDREN + 1)
#define AT_SALT 10
#define SALT_BYTES 32
#define NONCE_BYTES 12

struct drawn {
	unsigned char salt[SALT_BYTES], nonce[NONCE_BYTES];
};

static const struct vault_binding place = {"token", "acme", "zoho_crm", "refresh_token", 7};

static size_t seals_per_process(void)
{
	const char *is_long = getenv("VESTAL_LONG");

	return (is_long && strcmp(is_long, "1") == 0 ? (size_t)1000000 : (size_t)100000) /
		       PROCESSES +
	       1;
}

static int seal_many(const struct vault_keyring *keyring, struct drawn *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct vault_blob blob;
		struct work w;
		enum err err;

		work_begin(&w, SUPPORT_BUDGET_MS);
		err = vault_seal_close(
			&w, keyring, VAULT_RING_TOKEN, &place, support_secret(&w, "x"), &blob);
		if (!err)
			memcpy(&out[i], blob.bytes + AT_SALT, sizeof(out[i]));
		work_end(&w);
		if (err)
			return 1;
	}
	return 0;
}

static int by_salt(const void *a, const void *b)
{
	return memcmp(((const struct drawn *)a)->salt, ((const struct drawn *)b)->salt, SALT_BYTES);
}

static int by_nonce(const void *a, const void *b)
{
	return memcmp(
		((const struct drawn *)a)->nonce, ((const struct drawn *)b)->nonce, NONCE_BYTES);
}

static void assert_distinct(struct drawn *all, size_t n, int (*order)(const void *a, const void *b))
{
	qsort(all, n, sizeof(*all), order);
	for (size_t i = 1; i < n; i++)
		if (order(&all[i - 1], &all[i]) == 0)
			fail_msg("drawn twice, among %zu", n);
}

static void salts_and_nonces_are_never_repeated(void **state)
{
	size_t each = seals_per_process(), n = each * PROCESSES;
	struct drawn *all = mmap(
		NULL, n * sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *dir = support_dir();
	struct vault_keyring *keyring;
	struct work w;

	(void)state;
	assert_true(all != MAP_FAILED);
	work_begin(&w, SUPPORT_BUDGET_MS);
	support_one_key(dir, "token", "12345678");
	keyring = support_load(&w, dir, VAULT_RING_BIT(VAULT_RING_TOKEN));
	assert_int_equal(seal_many(keyring, all, 10), 0);
	for (size_t i = 0; i < CHILDREN; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			_exit(seal_many(keyring, all + i * each, each));
	}
	assert_int_equal(seal_many(keyring, all + CHILDREN * each, each), 0);
	for (size_t i = 0; i < CHILDREN; i++) {
		int status = 1;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	assert_distinct(all, n, by_salt);
	assert_distinct(all, n, by_nonce);
	vault_keyring_free(keyring);
	work_end(&w);
	munmap(all, n * sizeof(*all));
	support_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(salts_and_nonces_are_never_repeated)};

	return cmocka_run_group_tests_name("vault_unique", tests, NULL, NULL);
}
