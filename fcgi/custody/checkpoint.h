/* What a checkpoint of the audit trail says, and whose signature on it is believed. */
#ifndef VESTAL_CUSTODY_CHECKPOINT_H
#define VESTAL_CUSTODY_CHECKPOINT_H

#include "base/conf.h"
#include "vault/note.h"
#include "vault/tree.h"

struct custody_checkpoint {
	const char *origin; /* names one audit trail for ever */
	int64_t number, size;
	unsigned char root[VAULT_HASH_BYTES];
	const char *at; /* RFC 3339 */
	/* Where it also says that a month is pruned: how many leaves it has, and their SHA-256
	 * (custody_checkpoint_leaf_line), and that of the export; else NULL. */
	const char *pruned;
	int64_t pruned_rows;
	const char *pruned_leaves, *pruned_export;
};

/* Signs it. note: its text with the signature. Returns: ERR_KEY_UNKNOWN, ERR_BUG. Owns: the work.
 */
enum err custody_checkpoint_sign(struct work *w, const struct vault_keyring *keyring,
	const struct custody_checkpoint *checkpoint, const char **note) MUST_CHECK;

/* What a note says. Returns 0 when it is no checkpoint. Owns: the work. */
int custody_checkpoint_read(
	struct work *w, const struct vault_note *note, struct custody_checkpoint *checkpoint);

/* A leaf of a pruned month as it goes into their hash. Owns: line. */
#define CUSTODY_CHECKPOINT_LINE_BYTES 160
size_t custody_checkpoint_leaf_line(char line[CUSTODY_CHECKPOINT_LINE_BYTES], const char *leaf,
	const char *event, const char *at_us, const char *hash_hex);

/* The folder of the audit ring and of audit.pub. */
const char *custody_checkpoint_key_dir(const struct conf *conf);

/*
 * Loads the ring that signs, and brings audit.pub beside it up to date: public keys are added and
 * never taken away. Returns: as vault_keyring_load(), ERR_IO. Owns: the caller
 * (vault_keyring_free).
 */
enum err custody_checkpoint_keys(struct work *w, const struct conf *conf,
	struct vault_keyring **keyring, struct vault_publics *publics) MUST_CHECK;

/* audit.pub alone. Returns: ERR_KEY_UNKNOWN, ERR_KEY_UNSAFE, ERR_IO. */
enum err custody_checkpoint_publics(
	struct work *w, const struct conf *conf, struct vault_publics *publics) MUST_CHECK;

#endif
