/* Verification: whether the audit trail is still what was sealed, and where it is not. */
#ifndef VESTAL_CUSTODY_VERIFY_H
#define VESTAL_CUSTODY_VERIFY_H

#include "base/conf.h"
#include "custody/checkpoint.h"
#include "store/seal.h"

#define CUSTODY_VERIFY_LISTED 1000

/*
 * One thing found. what is a closed word: changed, deleted, inserted, swapped, leaf_missing,
 * leaf_added, leaves_changed, checkpoint, signature, rolled_back, fork, other_trail, file, prune,
 * grants, token; and, where it is only worth a look, unsealed, token_unknown, files_missing.
 */
struct custody_finding {
	const char *what, *detail;
	int64_t leaf, event; /* -1, 0: does not apply */
	int is_warning;
};

struct custody_verify {
	int64_t size, number, events_seen, pruned_months; /* leaves, checkpoints */
	int64_t unsealed, oldest_unsealed_s;              /* -1: none */
	int64_t faults;                                   /* also those beyond the list */
	struct custody_finding findings[CUSTODY_VERIFY_LISTED];
	size_t listed;
};

/* A file of notes to compare with, as it was read: a witness. */
struct custody_witness {
	const char *name, *bytes;
	size_t n;
};

/*
 * Reads everything in one snapshot of the database and compares it with itself, with the signatures
 * of publics, with the checkpoint files of this host and with witness (or NULL). Disturbs nobody.
 * db: as STORE_SEALER. Returns: ERR_OK whatever it finds; the database's errors and ERR_IO when it
 * could not be done. Owns: the work.
 */
enum err custody_verify_run(struct work *w, const struct conf *conf, struct store_db *db,
	const struct vault_publics *publics, const struct custody_witness *witness,
	struct custody_verify **proof) MUST_CHECK;

#endif
