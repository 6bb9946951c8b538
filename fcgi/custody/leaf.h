/* An audit event as a leaf of the tree. The form is final: what was sealed stays provable. */
#ifndef VESTAL_CUSTODY_LEAF_H
#define VESTAL_CUSTODY_LEAF_H

#include "base/buf.h"
#include "store/db.h"
#include "vault/crypto.h"

#define CUSTODY_LEAF_COLUMNS 29
#define CUSTODY_LEAF_HEX_BYTES (2 * VAULT_HASH_BYTES + 1)

/* Of the columns in that order (queries/seal/pending.sql), these are looked at apart. */
enum { CUSTODY_LEAF_ID = 0, CUSTODY_LEAF_AT = 1, CUSTODY_LEAF_XID = 2, CUSTODY_LEAF_ACTION = 14 };

/*
 * The hash of the event in a row whose columns begin at `first`: SHA-256 of the leaf prefix, the
 * words "vestal-audit-event-1", and each column as its text: a byte that says whether it is there,
 * four of its length, the text. scratch is overwritten. Returns: ERR_TOO_LARGE, ERR_BUG.
 */
enum err custody_leaf_hash(struct buf *scratch, const struct store_rows *rows, int first,
	unsigned char out[VAULT_HASH_BYTES]) MUST_CHECK;

/* A hash as 64 lower-case digits, and back; 0 when the text is none. */
const char *custody_leaf_hex(
	const unsigned char hash[VAULT_HASH_BYTES], char hex[CUSTODY_LEAF_HEX_BYTES]);
int custody_leaf_unhex(const char *hex, unsigned char hash[VAULT_HASH_BYTES]);

#endif
