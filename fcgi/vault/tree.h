/*
 * The Merkle tree of RFC 6962 as it grows: only the roots of its whole subtrees are kept, so that a
 * leaf costs O(1) hashes on average and the root of any size O(log n).
 */
#ifndef VESTAL_VAULT_TREE_H
#define VESTAL_VAULT_TREE_H

#include "vault/crypto.h"

#include <stdint.h>

#define VAULT_TREE_LEVELS 63
#define VAULT_TREE_FRONTIER_MAX_BYTES (VAULT_TREE_LEVELS * VAULT_HASH_BYTES)

/* What a leaf's bytes begin with, so that no leaf is ever taken for a node. Source: RFC 6962
 * section 2.1. */
#define VAULT_TREE_LEAF_PREFIX 0x00

struct vault_tree {
	int64_t size; /* leaves */
	/* nodes[i] is the root of a whole subtree of 2^i leaves where bit i of size is set. */
	unsigned char nodes[VAULT_TREE_LEVELS][VAULT_HASH_BYTES];
};

/* Adds a leaf by its hash. A tree begins as zeroes. Returns: ERR_BUG. */
enum err vault_tree_add(
	struct vault_tree *tree, const unsigned char leaf[VAULT_HASH_BYTES]) MUST_CHECK;

/* The root of all leaves so far. Returns: ERR_BUG. */
enum err vault_tree_root(
	const struct vault_tree *tree, unsigned char root[VAULT_HASH_BYTES]) MUST_CHECK;

/* The nodes as bytes, the largest subtree first. Returns their number. */
size_t vault_tree_save(
	const struct vault_tree *tree, unsigned char out[VAULT_TREE_FRONTIER_MAX_BYTES]);

/* The way back. Returns 0 when n is not what a tree of that size has. */
int vault_tree_load(struct vault_tree *tree, int64_t size, const unsigned char *bytes, size_t n);

#endif
