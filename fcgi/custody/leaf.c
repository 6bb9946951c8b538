/* An audit event as a leaf. It decides the bytes that are hashed; which events there are it does
 * not know. */
#include "custody/leaf.h"

#include "vault/tree.h"

#include <string.h>

#define DOMAIN "vestal-audit-event-1"

static void add_column(struct buf *bytes, const char *text)
{
	size_t n = text ? strlen(text) : 0;
	const unsigned char length[] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16),
		(unsigned char)(n >> 8), (unsigned char)n};

	buf_char(bytes, text ? 1 : 0);
	if (!text)
		return;
	buf_add(bytes, length, sizeof(length));
	buf_add(bytes, text, n);
}

enum err custody_leaf_hash(struct buf *scratch, const struct store_rows *rows, int first,
	unsigned char out[VAULT_HASH_BYTES])
{
	buf_clear(scratch);
	buf_char(scratch, VAULT_TREE_LEAF_PREFIX);
	buf_add(scratch, DOMAIN, sizeof(DOMAIN));
	for (int i = 0; i < CUSTODY_LEAF_COLUMNS; i++)
		add_column(scratch, store_get_text(rows, 0, first + i));
	return scratch->overflow ? ERR_TOO_LARGE
				 : vault_crypto_sha256(scratch->data, scratch->len, out);
}

const char *custody_leaf_hex(
	const unsigned char hash[VAULT_HASH_BYTES], char hex[CUSTODY_LEAF_HEX_BYTES])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < VAULT_HASH_BYTES; i++) {
		hex[2 * i] = digits[hash[i] >> 4];
		hex[2 * i + 1] = digits[hash[i] & 15];
	}
	hex[2 * VAULT_HASH_BYTES] = '\0';
	return hex;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int custody_leaf_unhex(const char *hex, unsigned char hash[VAULT_HASH_BYTES])
{
	if (!hex || strlen(hex) != 2 * VAULT_HASH_BYTES)
		return 0;
	for (size_t i = 0; i < VAULT_HASH_BYTES; i++) {
		int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return 0;
		hash[i] = (unsigned char)(high << 4 | low);
	}
	return 1;
}
