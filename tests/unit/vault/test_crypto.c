/* The primitives against published vectors, so that a wrong call of the library shows as a wrong
 * answer. */
#include "support.h"

#include "base/text.h"
#include "vault/crypto.h"

#include <limits.h>
#include <string.h>

static size_t valid, invalid;

static void gcm_vector(struct work *w, char **word)
{
	size_t n[7] = {0};
	unsigned char *part[7], out[512] = {0}, tag[16];
	int is_valid = text_equal(word[7], "valid");

	for (size_t i = 1; i < 7; i++)
		part[i] = support_unhex(w, word[i], &n[i]);
	assert_int_equal(n[1], 32);
	assert_int_equal(n[2], 12);
	assert_int_equal(n[4], n[5]);
	assert_int_equal(n[6], 16);
	assert_true(n[4] <= sizeof(out));
	if (is_valid) {
		assert_int_equal(vault_crypto_gcm_seal(
					 part[1], part[2], part[3], n[3], part[4], n[4], out, tag),
			ERR_OK);
		assert_memory_equal(out, part[5], n[5]);
		assert_memory_equal(tag, part[6], 16);
	}
	memset(out, 0xaa, sizeof(out));
	assert_int_equal(
		vault_crypto_gcm_open(part[1], part[2], part[3], n[3], part[5], n[5], part[6], out),
		is_valid ? ERR_OK : ERR_SEALED);
	if (!is_valid)
		memset(part[4], 0, n[4]);
	assert_memory_equal(out, part[4], n[4]);
	valid += is_valid ? 1 : 0;
	invalid += is_valid ? 0 : 1;
}

static void gcm_matches_wycheproof(void **state)
{
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(support_lines(&w, "vectors/aes256_gcm.txt", 8, gcm_vector), 56);
	assert_int_equal(valid, 29);
	assert_int_equal(invalid, 27);
	work_end(&w);
}

static void gcm_refuses_what_the_library_cannot_count(void **state)
{
	static const unsigned char key[32], nonce[12];
	unsigned char tag[16] = {0}, out[1];
	const size_t huge = (size_t)INT_MAX + 1, four_gib = (size_t)1 << 32;

	(void)state;
	assert_int_equal(
		vault_crypto_gcm_seal(key, nonce, "", 0, "", huge, out, tag), ERR_TOO_LARGE);
	assert_int_equal(
		vault_crypto_gcm_seal(key, nonce, "", four_gib, "", 0, out, tag), ERR_TOO_LARGE);
	assert_int_equal(
		vault_crypto_gcm_open(key, nonce, "", 0, "", four_gib, tag, out), ERR_TOO_LARGE);
	assert_int_equal(
		vault_crypto_gcm_open(key, nonce, "", huge, "", 0, tag, out), ERR_TOO_LARGE);
}

static void hkdf_vector(struct work *w, char **word)
{
	size_t n[5];
	unsigned char *part[5], out[128];

	for (size_t i = 1; i < 5; i++)
		part[i] = support_unhex(w, word[i], &n[i]);
	assert_true(n[4] <= sizeof(out));
	assert_int_equal(
		vault_crypto_hkdf_sha256(part[1], n[1], part[2], n[2], part[3], n[3], out, n[4]),
		ERR_OK);
	assert_memory_equal(out, part[4], n[4]);
}

static void hkdf_matches_rfc_5869(void **state)
{
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(support_lines(&w, "vectors/hkdf_sha256.txt", 5, hkdf_vector), 3);
	work_end(&w);
}

static void hmac_vector(struct work *w, char **word)
{
	size_t n[4];
	unsigned char *part[4], out[32];

	for (size_t i = 1; i < 4; i++)
		part[i] = support_unhex(w, word[i], &n[i]);
	assert_int_equal(n[3], 32);
	assert_int_equal(vault_crypto_hmac_sha256(part[1], n[1], part[2], n[2], out), ERR_OK);
	assert_memory_equal(out, part[3], 32);
}

static void hmac_matches_rfc_4231(void **state)
{
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(support_lines(&w, "vectors/hmac_sha256.txt", 4, hmac_vector), 6);
	work_end(&w);
}

/* Source: FIPS 180-4's example "abc", and the empty message. */
static void sha256_matches_its_standard(void **state)
{
	unsigned char out[32];
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(vault_crypto_sha256("abc", 3, out), ERR_OK);
	assert_string_equal(text_hex(&w, out, 32),
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(vault_crypto_sha256("", 0, out), ERR_OK);
	assert_string_equal(text_hex(&w, out, 32),
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	work_end(&w);
}

static void equal_sees_every_bit(void **state)
{
	unsigned char a[32] = {0}, b[32] = {0};

	(void)state;
	assert_true(vault_crypto_equal(a, b, sizeof(a)));
	for (size_t bit = 0; bit < sizeof(a) * 8; bit++) {
		b[bit / 8] ^= (unsigned char)(1u << bit % 8);
		assert_false(vault_crypto_equal(a, b, sizeof(a)));
		b[bit / 8] = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gcm_matches_wycheproof),
		cmocka_unit_test(gcm_refuses_what_the_library_cannot_count),
		cmocka_unit_test(hkdf_matches_rfc_5869),
		cmocka_unit_test(hmac_matches_rfc_4231),
		cmocka_unit_test(sha256_matches_its_standard),
		cmocka_unit_test(equal_sees_every_bit),
	};

	return cmocka_run_group_tests_name("vault_crypto", tests, NULL, NULL);
}
