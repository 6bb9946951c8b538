/*
 * The sealed format: version 1 is read for ever, a blob opens at its own place only, and whatever
 * is changed in it, no plaintext comes out. The golden files are written by
 * tests/golden/seal-v1/generate.py, not by the code under test.
 */
#include "support.h"

#include "base/text.h"
#include "vault/crypto.h"
#include "vault/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES 86
#define AT_KEY_ID 6
#define AT_COMMITMENT 54

static struct vault_keyring *golden;
static char *golden_dir;

static const struct vault_binding place = {"token", "acme", "zoho_crm", "refresh_token", 7};

static int setup(void **state)
{
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	golden_dir = support_dir();
	support_golden_ring(golden_dir, "token");
	support_golden_ring(golden_dir, "app");
	golden = support_load(
		&w, golden_dir, VAULT_RING_BIT(VAULT_RING_TOKEN) | VAULT_RING_BIT(VAULT_RING_APP));
	work_end(&w);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vault_keyring_free(golden);
	support_remove(golden_dir);
	return 0;
}

static struct vault_blob sealed(struct work *w, const struct vault_binding *b, const char *text)
{
	struct vault_blob blob;

	assert_int_equal(
		vault_seal_close(w, golden, VAULT_RING_TOKEN, b, support_secret(w, text), &blob),
		ERR_OK);
	return blob;
}

static enum err opened(struct work *w, const struct vault_binding *b, const struct vault_blob *blob)
{
	struct secret *plain = (struct secret *)w; /* not NULL: the function has to say so itself */
	enum err err = vault_seal_open(w, golden, VAULT_RING_TOKEN, b, blob, &plain);

	assert_int_equal(err == ERR_OK, plain != NULL);
	return err;
}

static const char *or_empty(const char *word)
{
	return text_equal(word, "-") ? "" : word;
}

static void golden_blob(struct work *w, char **word)
{
	struct vault_binding b = {
		or_empty(word[1]), or_empty(word[2]), or_empty(word[3]), or_empty(word[4]), 0};
	struct secret *plain;
	struct vault_blob blob;
	size_t n;
	const unsigned char *expected = support_unhex(w, word[6], &n);

	b.generation = strtoll(word[5], NULL, 10);
	blob.bytes = support_unhex(w, word[7], &blob.n);
	assert_int_equal(
		vault_seal_open(w, golden, vault_ring_by_name(word[0]), &b, &blob, &plain), ERR_OK);
	assert_int_equal(secret_len(plain), n);
	assert_memory_equal(secret_reveal(plain), expected, n);
}

static void format_1_is_read_for_ever(void **state)
{
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(support_lines(&w, "seal-v1/blobs.txt", 8, golden_blob), 5);
	work_end(&w);
}

static void every_length_comes_back(void **state)
{
	static const size_t lengths[] = {0, 1, 15, 16, 17, 100, 4096, VAULT_SEAL_PLAIN_MAX_BYTES};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct secret *plain, *back;
		struct vault_blob blob;
		struct work w;

		work_begin(&w, SUPPORT_BUDGET_MS);
		plain = secret_new(&w, NULL, lengths[i]);
		memset(secret_fill(plain), 0x5a, lengths[i]);
		assert_int_equal(
			vault_seal_close(&w, golden, VAULT_RING_TOKEN, &place, plain, &blob),
			ERR_OK);
		assert_int_equal(blob.n, lengths[i] + VAULT_SEAL_OVERHEAD_BYTES);
		assert_int_equal(vault_seal_key_id(&blob), 0x7a11c0de);
		assert_int_equal(
			vault_seal_open(&w, golden, VAULT_RING_TOKEN, &place, &blob, &back),
			ERR_OK);
		assert_true(secret_equal(plain, back));
		work_end(&w);
	}
}

static void too_long_is_refused(void **state)
{
	struct vault_blob blob = {(unsigned char *)1, 1};
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(vault_seal_close(&w, golden, VAULT_RING_TOKEN, &place,
				 secret_new(&w, NULL, VAULT_SEAL_PLAIN_MAX_BYTES + 1), &blob),
		ERR_TOO_LARGE);
	assert_null(blob.bytes);
	work_end(&w);
}

static void a_ring_that_was_not_loaded_seals_and_opens_nothing(void **state)
{
	struct vault_blob blob;
	struct secret *plain;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(vault_seal_close(&w, golden, VAULT_RING_SPOOL, &place,
				 support_secret(&w, "x"), &blob),
		ERR_KEY_UNKNOWN);
	blob = sealed(&w, &place, "x");
	assert_int_equal(vault_seal_open(&w, golden, VAULT_RING_SPOOL, &place, &blob, &plain),
		ERR_KEY_UNKNOWN);
	work_end(&w);
}

/* All pairs of bindings that differ, in one part or in several, or only in where one part ends. */
static void a_blob_opens_at_its_own_place_only(void **state)
{
	static const struct vault_binding places[] = {
		{"token", "acme", "zoho_crm", "refresh_token", 7},
		{"history", "acme", "zoho_crm", "refresh_token", 7},
		{"token", "globex", "zoho_crm", "refresh_token", 7},
		{"token", "acme", "zoho_calendar", "refresh_token", 7},
		{"token", "acme", "zoho_crm", "access_token", 7},
		{"token", "acme", "zoho_crm", "refresh_token", 8},
		{"token", "acme", "zoho_crm", "refresh_token", 7 + (INT64_C(1) << 32)},
		{"token", "acme", "zoho_crm", "refresh_token", -7},
		{"tokena", "cme", "zoho_crm", "refresh_token", 7},
		{"token", "acmez", "oho_crm", "refresh_token", 7},
		{"token", "acme", "zoho_crmr", "efresh_token", 7},
		{"token", "", "acmezoho_crm", "refresh_token", 7},
		{"token", "zoho_crm", "acme", "refresh_token", 7},
		{"", "", "", "", 7},
	};
	const size_t n = sizeof(places) / sizeof(places[0]);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		struct vault_blob blob;
		struct work w;

		work_begin(&w, SUPPORT_BUDGET_MS);
		blob = sealed(&w, &places[i], "1000.secret");
		for (size_t k = 0; k < n; k++)
			assert_int_equal(
				opened(&w, &places[k], &blob), i == k ? ERR_OK : ERR_SEALED);
		work_end(&w);
	}
}

static void a_binding_with_a_hole_is_our_fault(void **state)
{
	struct vault_binding holes[4] = {place, place, place, place};
	struct vault_blob blob, good;
	struct work w;

	(void)state;
	holes[0].purpose = holes[1].client = holes[2].provider = holes[3].column = NULL;
	work_begin(&w, SUPPORT_BUDGET_MS);
	good = sealed(&w, &place, "x");
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(vault_seal_close(&w, golden, VAULT_RING_TOKEN, &holes[i],
					 support_secret(&w, "x"), &blob),
			ERR_BUG);
		assert_int_equal(opened(&w, &holes[i], &good), ERR_BUG);
	}
	work_end(&w);
}

static void every_flipped_bit_is_noticed(void **state)
{
	struct vault_blob blob;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	blob = sealed(&w, &place, "1000.0123456789abcdef.fedcba9876543210");
	for (size_t bit = 0; bit < blob.n * 8; bit++) {
		int in_key_id = bit / 8 >= AT_KEY_ID && bit / 8 < AT_KEY_ID + 4;

		blob.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
		assert_int_equal(
			opened(&w, &place, &blob), in_key_id ? ERR_KEY_UNKNOWN : ERR_SEALED);
		blob.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	assert_int_equal(opened(&w, &place, &blob), ERR_OK);
	work_end(&w);
}

/* Each length in an allocation of its own, so that a read past its end is seen by the sanitizer. */
static void every_other_length_is_noticed(void **state)
{
	struct vault_blob blob;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	blob = sealed(&w, &place, "1000.0123456789abcdef");
	for (size_t n = 0; n < blob.n; n++) {
		struct vault_blob head = {malloc(n ? n : 1), n}, tail = {malloc(n ? n : 1), n};

		memcpy(head.bytes, blob.bytes, n);
		memcpy(tail.bytes, blob.bytes + blob.n - n, n);
		assert_int_equal(opened(&w, &place, &head), ERR_SEALED);
		assert_int_equal(opened(&w, &place, &tail), ERR_SEALED);
		assert_int_equal(
			vault_seal_key_id(&head), n < VAULT_SEAL_OVERHEAD_BYTES ? 0 : 0x7a11c0de);
		free(head.bytes);
		free(tail.bytes);
	}
	for (size_t n = 1; n <= 40; n++) {
		struct vault_blob longer = {calloc(1, blob.n + n), blob.n + n};

		memcpy(longer.bytes, blob.bytes, blob.n);
		assert_int_equal(opened(&w, &place, &longer), ERR_SEALED);
		free(longer.bytes);
	}
	work_end(&w);
}

/* Lengths that no allocation could have: refused before a byte is read. */
static void absurd_lengths_are_refused(void **state)
{
	static const size_t lengths[] = {VAULT_SEAL_OVERHEAD_BYTES + VAULT_SEAL_PLAIN_MAX_BYTES + 1,
		(size_t)1 << 32, SIZE_MAX};
	struct vault_blob blob, none = {NULL, 0}, none_but_long = {NULL, 200};
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	blob = sealed(&w, &place, "x");
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		blob.n = lengths[i];
		assert_int_equal(opened(&w, &place, &blob), ERR_SEALED);
	}
	assert_int_equal(opened(&w, &place, &none), ERR_SEALED);
	assert_int_equal(opened(&w, &place, &none_but_long), ERR_SEALED);
	work_end(&w);
}

static void other_versions_and_suites_are_refused(void **state)
{
	struct vault_blob blob;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	blob = sealed(&w, &place, "x");
	for (size_t at = 4; at <= 5; at++) {
		for (unsigned value = 0; value < 256; value++) {
			blob.bytes[at] = (unsigned char)value;
			assert_int_equal(
				opened(&w, &place, &blob), value == 1 ? ERR_OK : ERR_SEALED);
		}
		blob.bytes[at] = 1;
	}
	work_end(&w);
}

static void derive(
	enum vault_ring ring, uint32_t key_id, const unsigned char *blob, unsigned char out[64])
{
	const struct vault_key *key = vault_keyring_find(golden, ring, key_id);
	char info[64];
	int n = snprintf(info, sizeof(info), "vestal/seal/v1%s", vault_ring_name(ring));

	assert_non_null(key);
	assert_int_equal(vault_crypto_hkdf_sha256(secret_reveal(key->key), 32, blob + 10, 32, info,
				 (size_t)n, out, 64),
		ERR_OK);
}

#define FORGED_BYTES (HEADER_BYTES + 5 + 16)

/* A blob of our own making, "hello" at the usual place; the key and the commitment are the caller's
 * choice. */
static void forge(const unsigned char *key, const unsigned char *commitment,
	unsigned char bytes[FORGED_BYTES])
{
	static const unsigned char parts[] =
		"\0\0\0\5token\0\0\0\4acme\0\0\0\10zoho_crm\0\0\0\15refresh_token"
		"\0\0\0\0\0\0\0\7\0\0\0\1";
	unsigned char aad[HEADER_BYTES + sizeof(parts) - 1];

	memcpy(bytes + AT_COMMITMENT, commitment, 32);
	memcpy(aad, bytes, HEADER_BYTES);
	memcpy(aad + HEADER_BYTES, parts, sizeof(parts) - 1);
	assert_int_equal(vault_crypto_gcm_seal(key, bytes + 42, aad, sizeof(aad), "hello", 5,
				 bytes + HEADER_BYTES, bytes + HEADER_BYTES + 5),
		ERR_OK);
}

/*
 * A blob whose tag is right under the key it names, made by somebody who knows both keys: with that
 * key's commitment it opens, so the forgery is a sound one, and with the other key's it does not.
 */
static void a_commitment_to_another_key_is_refused(void **state)
{
	unsigned char own[64], other[64], bytes[FORGED_BYTES] = "VSTL\1\1\x7a\x11\xc0\xde";
	struct vault_blob blob = {bytes, sizeof(bytes)};
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	derive(VAULT_RING_TOKEN, 0x7a11c0de, bytes, own);
	derive(VAULT_RING_TOKEN, 0xfffffffe, bytes, other);
	forge(own, own + 32, bytes);
	assert_int_equal(opened(&w, &place, &blob), ERR_OK);
	forge(own, other + 32, bytes);
	assert_int_equal(opened(&w, &place, &blob), ERR_SEALED);
	assert_string_equal(w.cause, "commitment");
	work_end(&w);
}

/* What says to be of another version or suite is not read by the rules of this one, though key and
 * tag would fit. */
static void a_sound_blob_of_another_version_or_suite_is_refused(void **state)
{
	unsigned char own[64], bytes[FORGED_BYTES] = "VSTL\1\1\x7a\x11\xc0\xde";
	struct vault_blob blob = {bytes, sizeof(bytes)};
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	derive(VAULT_RING_TOKEN, 0x7a11c0de, bytes, own);
	for (size_t at = 0; at <= 5; at++) {
		bytes[at]++;
		forge(own, own + 32, bytes);
		assert_int_equal(opened(&w, &place, &blob), ERR_SEALED);
		assert_int_equal(vault_seal_key_id(&blob), 0);
		bytes[at]--;
	}
	work_end(&w);
}

/* The same key bytes in two rings still make two keys. */
static void rings_are_apart_even_with_the_same_key(void **state)
{
	struct support_key key = {"12345678", "enabled", "2026-01-31T12:00:00Z",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"};
	char *dir = support_dir(), *text;
	struct vault_keyring *keyring;
	struct secret *plain;
	struct vault_blob blob;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	text = support_ring(&w, "token", key.id, &key, 1, "");
	support_write(dir, "token.ring", text, strlen(text), 0600);
	text = support_ring(&w, "spool", key.id, &key, 1, "");
	support_write(dir, "spool.ring", text, strlen(text), 0600);
	keyring = support_load(
		&w, dir, VAULT_RING_BIT(VAULT_RING_TOKEN) | VAULT_RING_BIT(VAULT_RING_SPOOL));
	assert_int_equal(vault_seal_close(&w, keyring, VAULT_RING_TOKEN, &place,
				 support_secret(&w, "x"), &blob),
		ERR_OK);
	assert_int_equal(
		vault_seal_open(&w, keyring, VAULT_RING_TOKEN, &place, &blob, &plain), ERR_OK);
	assert_int_equal(
		vault_seal_open(&w, keyring, VAULT_RING_SPOOL, &place, &blob, &plain), ERR_SEALED);
	vault_keyring_free(keyring);
	work_end(&w);
	support_remove(dir);
}

/* The golden ring's disabled key is known, and still opens nothing. */
static void disabled_and_destroyed_keys_open_nothing(void **state)
{
	static const unsigned char ids[][4] = {
		{0x0b, 0xad, 0xc0, 0xde}, {0, 0, 0, 1}, {0, 0, 0, 0}, {1, 2, 3, 4}};
	struct vault_blob blob;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	blob = sealed(&w, &place, "x");
	for (size_t i = 0; i < 4; i++) {
		memcpy(blob.bytes + AT_KEY_ID, ids[i], 4);
		assert_int_equal(opened(&w, &place, &blob), ERR_KEY_UNKNOWN);
	}
	work_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(format_1_is_read_for_ever),
		cmocka_unit_test(every_length_comes_back),
		cmocka_unit_test(too_long_is_refused),
		cmocka_unit_test(a_ring_that_was_not_loaded_seals_and_opens_nothing),
		cmocka_unit_test(a_blob_opens_at_its_own_place_only),
		cmocka_unit_test(a_binding_with_a_hole_is_our_fault),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(every_other_length_is_noticed),
		cmocka_unit_test(absurd_lengths_are_refused),
		cmocka_unit_test(other_versions_and_suites_are_refused),
		cmocka_unit_test(a_commitment_to_another_key_is_refused),
		cmocka_unit_test(a_sound_blob_of_another_version_or_suite_is_refused),
		cmocka_unit_test(rings_are_apart_even_with_the_same_key),
		cmocka_unit_test(disabled_and_destroyed_keys_open_nothing),
	};

	return cmocka_run_group_tests_name("vault_seal", tests, setup, teardown);
}
