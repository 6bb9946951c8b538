/* When the random numbers fail, nothing is sealed and no key is made. This program brings its own
 * failing source. */
#include "support.h"

#include "vault/crypto.h"
#include "vault/seal.h"

#include <dirent.h>
#include <string.h>
#include <sys/random.h>

int RAND_bytes(unsigned char *out, int n);
int RAND_priv_bytes(unsigned char *out, int n);

/* Calls that still succeed before the source fails; -1: all. */
static int healthy_calls = -1;

/* These take the place of the library's functions of the same name. A failing one leaves a
 * guessable value behind. */
int RAND_bytes(unsigned char *out, int n)
{
	if (healthy_calls == 0) {
		memset(out, 0x41, (size_t)n);
		return 0;
	}
	if (healthy_calls > 0)
		healthy_calls--;
	return getrandom(out, (size_t)n, 0) == n;
}

int RAND_priv_bytes(unsigned char *out, int n)
{
	return RAND_bytes(out, n);
}

static const struct vault_binding place = {"token", "acme", "zoho_crm", "refresh_token", 7};

static void nothing_weak_is_handed_out(void **state)
{
	static const unsigned char zero[32];
	unsigned char out[32];

	(void)state;
	healthy_calls = 0;
	memset(out, 0x55, sizeof(out));
	assert_int_equal(vault_crypto_random(out, sizeof(out)), ERR_BUG);
	assert_memory_equal(out, zero, sizeof(out));
	memset(out, 0x55, sizeof(out));
	assert_int_equal(vault_crypto_random_public(out, sizeof(out)), ERR_BUG);
	assert_memory_equal(out, zero, sizeof(out));
	healthy_calls = -1;
	assert_int_equal(vault_crypto_random(out, sizeof(out)), ERR_OK);
	assert_memory_not_equal(out, zero, sizeof(out));
}

static void nothing_is_sealed(void **state)
{
	char *dir = support_dir();
	struct vault_keyring *keyring;
	struct vault_blob blob;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	support_one_key(dir, "token", "12345678");
	keyring = support_load(&w, dir, VAULT_RING_BIT(VAULT_RING_TOKEN));
	healthy_calls = 0;
	assert_int_equal(vault_seal_close(&w, keyring, VAULT_RING_TOKEN, &place,
				 support_secret(&w, "x"), &blob),
		ERR_BUG);
	assert_null(blob.bytes);
	healthy_calls = -1;
	assert_int_equal(vault_seal_close(&w, keyring, VAULT_RING_TOKEN, &place,
				 support_secret(&w, "x"), &blob),
		ERR_OK);
	vault_keyring_free(keyring);
	work_end(&w);
	support_remove(dir);
}

static size_t files_in(const char *path)
{
	DIR *dir = opendir(path);
	size_t n = 0;

	assert_non_null(dir);
	for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
		n += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
	closedir(dir);
	return n;
}

/* Neither when the id cannot be drawn nor when the key cannot. */
static void no_key_is_made(void **state)
{
	char *dir = support_dir();

	(void)state;
	for (int calls = 0; calls < 2; calls++) {
		struct vault_key_info made;
		struct work w;

		work_begin(&w, SUPPORT_BUDGET_MS);
		healthy_calls = calls;
		assert_int_equal(vault_keyring_add(&w, dir, VAULT_RING_TOKEN, &made), ERR_BUG);
		healthy_calls = -1;
		work_end(&w);
		assert_int_equal(files_in(dir), 0);
	}
	support_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_weak_is_handed_out),
		cmocka_unit_test(nothing_is_sealed),
		cmocka_unit_test(no_key_is_made),
	};

	return cmocka_run_group_tests_name("vault_random", tests, NULL, NULL);
}
