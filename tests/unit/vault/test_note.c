/* Signed notes: Ed25519 as published, and a signature that holds for these bytes, this name and
 * these keys alone. */
#include "support.h"

#include "base/text.h"
#include "vault/crypto.h"
#include "vault/note.h"

#include <string.h>

static struct vault_keyring *keyring, *other;
static char *dir, *other_dir;

static int setup(void **state)
{
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	dir = support_dir();
	other_dir = support_dir();
	support_one_key(dir, "audit", "0a0b0c0d");
	support_one_key(other_dir, "audit", "0a0b0c0e");
	keyring = support_load(&w, dir, VAULT_RING_BIT(VAULT_RING_AUDIT));
	other = support_load(&w, other_dir, VAULT_RING_BIT(VAULT_RING_AUDIT));
	work_end(&w);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vault_keyring_free(keyring);
	vault_keyring_free(other);
	support_remove(dir);
	support_remove(other_dir);
	return 0;
}

/* Source: RFC 8032 section 7.1, tests 1 to 3. */
static void ed25519_is_that_of_the_standard(void **state)
{
	static const char *const vectors[][4] = {
		{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
			"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
			"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590"
			"a33bacc6"
			"1e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
		{"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
			"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
			"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e"
			"15996e45"
			"8f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
		{"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
			"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
			"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d"
			"16f290ae"
			"67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
	};
	unsigned char key[VAULT_KEY_BYTES], signature[VAULT_SIGNATURE_BYTES];
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	for (size_t i = 0; i < 3; i++) {
		size_t n[4];
		unsigned char *part[4];

		for (size_t j = 0; j < 4; j++)
			part[j] = text_unhex(&w, vectors[i][j], &n[j]);
		assert_int_equal(vault_crypto_ed25519_public(part[0], key), ERR_OK);
		assert_memory_equal(key, part[1], sizeof(key));
		assert_int_equal(
			vault_crypto_ed25519_sign(part[0], part[2], n[2], signature), ERR_OK);
		assert_memory_equal(signature, part[3], sizeof(signature));
		assert_true(vault_crypto_ed25519_fits(key, part[2], n[2], signature));
		signature[i] ^= 1;
		assert_false(vault_crypto_ed25519_fits(key, part[2], n[2], signature));
	}
	work_end(&w);
}

static const char *signed_note(struct work *w, const char *name, const char *text)
{
	struct buf note;

	buf_init(&note, w, VAULT_NOTE_MAX_BYTES);
	assert_int_equal(vault_note_sign(w, keyring, name, text, &note), ERR_OK);
	return note.data;
}

static void publics_of(
	struct work *w, const struct vault_keyring *of, struct vault_publics *publics)
{
	size_t added = 0;

	*publics = (struct vault_publics){.n = 0};
	assert_int_equal(vault_note_publics_of(w, of, publics, &added), ERR_OK);
	assert_int_equal(added, 1);
	assert_int_equal(vault_note_publics_of(w, of, publics, &added), ERR_OK);
	assert_int_equal(added, 0);
}

static int is_good(struct work *w, const char *bytes, size_t n, const struct vault_publics *publics)
{
	struct vault_note note;

	return vault_note_take(bytes, n, &note) && note.whole_n == n &&
	       vault_note_fits(w, &note, publics);
}

static void every_byte_of_a_note_counts(void **state)
{
	struct vault_publics publics, others;
	struct work w;
	char *copy;
	size_t n;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	publics_of(&w, keyring, &publics);
	publics_of(&w, other, &others);
	copy = work_strdup(&w, signed_note(&w, "a/name", "a/name\n12\nline\n"));
	n = strlen(copy);
	assert_true(is_good(&w, copy, n, &publics));
	assert_false(is_good(&w, copy, n, &others));
	for (size_t i = 0; i < n; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			copy[i] = (char)(copy[i] ^ 1 << bit);
			assert_false(is_good(&w, copy, n, &publics));
			copy[i] = (char)(copy[i] ^ 1 << bit);
		}
	for (size_t i = 0; i < n; i++)
		assert_false(is_good(&w, copy, i, &publics));
	work_end(&w);
}

static void notes_follow_each_other(void **state)
{
	struct vault_note first, second;
	const char *both;
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	both = work_printf(
		&w, "%s%s", signed_note(&w, "n", "one\n"), signed_note(&w, "n", "two\n"));
	assert_true(vault_note_take(both, strlen(both), &first));
	assert_int_equal(first.text_n, 4);
	assert_memory_equal(first.text, "one\n", 4);
	assert_true(vault_note_take(both + first.whole_n, strlen(both) - first.whole_n, &second));
	assert_memory_equal(second.text, "two\n", 4);
	assert_int_equal(first.whole_n + second.whole_n, strlen(both));
	assert_false(vault_note_take("", 0, &first));
	assert_false(vault_note_take("one\n", 4, &first));
	work_end(&w);
}

static void public_keys_go_there_and_back(void **state)
{
	struct vault_publics publics, others, read;
	struct work w;
	struct buf text;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	publics_of(&w, keyring, &publics);
	publics_of(&w, other, &others);
	memcpy(publics.keys[publics.n++], others.keys[0], sizeof(others.keys[0]));
	buf_init(&text, &w, 4096);
	buf_text(&text, "what is kept here\n");
	vault_note_publics_format(&w, &publics, &text);
	assert_int_equal(vault_note_publics_parse(&w, text.data, text.len, &read), ERR_OK);
	assert_int_equal(read.n, 2);
	assert_memory_equal(read.keys, publics.keys, 2 * sizeof(publics.keys[0]));
	assert_int_equal(vault_note_publics_parse(&w, "", 0, &read), ERR_KEY_UNSAFE);
	text.data[70] = '!';
	assert_int_equal(vault_note_publics_parse(&w, text.data, text.len, &read), ERR_KEY_UNSAFE);
	work_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ed25519_is_that_of_the_standard),
		cmocka_unit_test(every_byte_of_a_note_counts),
		cmocka_unit_test(notes_follow_each_other),
		cmocka_unit_test(public_keys_go_there_and_back),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
