/* The Merkle tree against the roots that Certificate Transparency publishes, and on its way through
 * a checkpoint. */
#include "support.h"

#include "base/text.h"
#include "vault/tree.h"

#include <string.h>

/* Source: the test vectors of google/certificate-transparency, merkle_tree_test. */
static const struct {
	const char *leaf, *root; /* the root of this leaf and all before it */
} vectors[] = {
	{"", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
	{"00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"},
	{"10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"},
	{"2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"},
	{"3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"},
	{"40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"},
	{"5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"},
	{"606162636465666768696a6b6c6d6e6f",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"},
};

#define COUNT (sizeof(vectors) / sizeof(*vectors))

static void leaf_of(struct work *w, const char *hex, unsigned char out[VAULT_HASH_BYTES])
{
	unsigned char bytes[64] = {VAULT_TREE_LEAF_PREFIX};
	size_t n = 0;
	const unsigned char *rest = text_unhex(w, hex, &n);

	if (n)
		memcpy(bytes + 1, rest, n);
	assert_int_equal(vault_crypto_sha256(bytes, n + 1, out), ERR_OK);
}

static void roots_are_those_of_the_standard(void **state)
{
	struct vault_tree tree = {.size = 0};
	unsigned char hash[VAULT_HASH_BYTES];
	struct work w;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(vault_tree_root(&tree, hash), ERR_OK);
	assert_string_equal(text_hex(&w, hash, sizeof(hash)),
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	for (size_t i = 0; i < COUNT; i++) {
		leaf_of(&w, vectors[i].leaf, hash);
		assert_int_equal(vault_tree_add(&tree, hash), ERR_OK);
		assert_int_equal(tree.size, i + 1);
		assert_int_equal(vault_tree_root(&tree, hash), ERR_OK);
		assert_string_equal(text_hex(&w, hash, sizeof(hash)), vectors[i].root);
	}
	work_end(&w);
}

static void a_tree_goes_on_from_what_was_saved(void **state)
{
	unsigned char saved[VAULT_TREE_FRONTIER_MAX_BYTES], hash[VAULT_HASH_BYTES];
	struct vault_tree tree = {.size = 0}, loaded;
	struct work w;
	size_t n;

	(void)state;
	work_begin(&w, SUPPORT_BUDGET_MS);
	for (size_t i = 0; i < COUNT; i++) {
		n = vault_tree_save(&tree, saved);
		assert_int_equal(n, VAULT_HASH_BYTES * (size_t)__builtin_popcountll(i));
		assert_true(vault_tree_load(&loaded, (int64_t)i, saved, n));
		assert_false(n && vault_tree_load(&loaded, (int64_t)i, saved, n - 1));
		assert_false(vault_tree_load(&loaded, (int64_t)i, saved, n + VAULT_HASH_BYTES));
		assert_true(vault_tree_load(&tree, (int64_t)i, saved, n));
		leaf_of(&w, vectors[i].leaf, hash);
		assert_int_equal(vault_tree_add(&tree, hash), ERR_OK);
		assert_int_equal(vault_tree_root(&tree, hash), ERR_OK);
		assert_string_equal(text_hex(&w, hash, sizeof(hash)), vectors[i].root);
	}
	assert_false(vault_tree_load(&loaded, -1, saved, 0));
	work_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roots_are_those_of_the_standard),
		cmocka_unit_test(a_tree_goes_on_from_what_was_saved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
