/* The Merkle tree of RFC 6962. It decides how hashes are joined; what a leaf is, its callers do. */
#include "vault/tree.h"

#include <string.h>

#define NODE_PREFIX 0x01

static int has_level(const struct vault_tree *tree, int level)
{
	return (int)((uint64_t)tree->size >> level & 1);
}

/* into = hash of left and right; into may be either. */
static enum err join(
	const unsigned char *left, const unsigned char *right, unsigned char into[VAULT_HASH_BYTES])
{
	unsigned char node[1 + 2 * VAULT_HASH_BYTES] = {NODE_PREFIX};

	memcpy(node + 1, left, VAULT_HASH_BYTES);
	memcpy(node + 1 + VAULT_HASH_BYTES, right, VAULT_HASH_BYTES);
	return vault_crypto_sha256(node, sizeof(node), into);
}

enum err vault_tree_add(struct vault_tree *tree, const unsigned char leaf[VAULT_HASH_BYTES])
{
	unsigned char node[VAULT_HASH_BYTES];
	enum err err = ERR_OK;
	int level = 0;

	memcpy(node, leaf, sizeof(node));
	for (; !err && has_level(tree, level); level++)
		err = level + 1 < VAULT_TREE_LEVELS ? join(tree->nodes[level], node, node)
						    : ERR_BUG;
	if (err)
		return err;
	memcpy(tree->nodes[level], node, sizeof(node));
	tree->size++;
	return ERR_OK;
}

enum err vault_tree_root(const struct vault_tree *tree, unsigned char root[VAULT_HASH_BYTES])
{
	int level = 0;
	enum err err = ERR_OK;

	if (!tree->size)
		return vault_crypto_sha256("", 0, root);
	while (!has_level(tree, level))
		level++;
	memcpy(root, tree->nodes[level++], VAULT_HASH_BYTES);
	for (; !err && level < VAULT_TREE_LEVELS; level++)
		if (has_level(tree, level))
			err = join(tree->nodes[level], root, root);
	return err;
}

size_t vault_tree_save(
	const struct vault_tree *tree, unsigned char out[VAULT_TREE_FRONTIER_MAX_BYTES])
{
	size_t n = 0;

	for (int level = VAULT_TREE_LEVELS - 1; level >= 0; level--)
		if (has_level(tree, level)) {
			memcpy(out + n, tree->nodes[level], VAULT_HASH_BYTES);
			n += VAULT_HASH_BYTES;
		}
	return n;
}

int vault_tree_load(struct vault_tree *tree, int64_t size, const unsigned char *bytes, size_t n)
{
	size_t used = 0;

	*tree = (struct vault_tree){.size = size};
	if (size < 0)
		return 0;
	for (int level = VAULT_TREE_LEVELS - 1; level >= 0; level--) {
		if (!has_level(tree, level))
			continue;
		if (n - used < VAULT_HASH_BYTES)
			return 0;
		memcpy(tree->nodes[level], bytes + used, VAULT_HASH_BYTES);
		used += VAULT_HASH_BYTES;
	}
	return used == n;
}
