/* Fingerprints: their form is fixed, they tell secrets and keys apart, and old ones still match. */
#include "support.h"

#include "vault/fingerprint.h"

#include <string.h>

static struct vault_keyring *keyring;
static char *dir;

static int setup(void **state)
{
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	dir = support_dir();
	support_golden_ring(dir, "token");
	keyring = support_load(&w, dir, VAULT_RING_BIT(VAULT_RING_TOKEN));
	work_end(&w);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vault_keyring_free(keyring);
	support_remove(dir);
	return 0;
}

static void golden_print(struct work *w, char **word)
{
	size_t n;
	const unsigned char *bytes = support_unhex(w, word[0], &n);
	struct secret *secret = secret_new(w, bytes, n);

	assert_true(vault_fingerprint_matches(keyring, word[1], secret));
	if (strncmp(word[1], "7a11c0de", 8) == 0)
		assert_string_equal(vault_fingerprint(w, keyring, secret), word[1]);
}

static void the_form_is_fixed(void **state)
{
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(support_lines(&w, "seal-v1/fingerprints.txt", 2, golden_print), 4);
	work_end(&w);
}

static void only_the_same_secret_matches(void **state)
{
	struct secret *secret, *other;
	char print[VAULT_FINGERPRINT_DIGITS + 2];
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	secret = support_secret(&w, "1000.abc");
	other = support_secret(&w, "1000.abd");
	strcpy(print, vault_fingerprint(&w, keyring, secret));
	assert_int_equal(strlen(print), VAULT_FINGERPRINT_DIGITS);
	assert_true(vault_fingerprint_matches(keyring, print, secret));
	assert_false(vault_fingerprint_matches(keyring, print, other));
	assert_string_not_equal(print, vault_fingerprint(&w, keyring, other));
	for (size_t i = 0; i < VAULT_FINGERPRINT_DIGITS; i++) {
		char was = print[i];

		print[i] = was == '0' ? '1' : '0';
		assert_false(vault_fingerprint_matches(keyring, print, secret));
		print[i] = was;
	}
	strcat(print, "0");
	assert_false(vault_fingerprint_matches(keyring, print, secret));
	assert_false(vault_fingerprint_matches(keyring, "", secret));
	work_end(&w);
}

static void without_the_ring_there_is_none(void **state)
{
	struct vault_keyring *empty;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	empty = support_load(&w, dir, 0);
	assert_null(vault_fingerprint(&w, empty, support_secret(&w, "x")));
	vault_keyring_free(empty);
	work_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_form_is_fixed),
		cmocka_unit_test(only_the_same_secret_matches),
		cmocka_unit_test(without_the_ring_there_is_none),
	};

	return cmocka_run_group_tests_name("vault_fingerprint", tests, setup, teardown);
}
