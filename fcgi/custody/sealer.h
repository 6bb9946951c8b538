/* Sealing: every committed event gets its leaf, and the tree that they make a signed checkpoint. */
#ifndef VESTAL_CUSTODY_SEALER_H
#define VESTAL_CUSTODY_SEALER_H

#include "base/conf.h"
#include "custody/checkpoint.h"
#include "store/seal.h"

struct custody_sealed {
	int64_t events;            /* that this run sealed */
	int64_t number, size;      /* of the newest checkpoint; 0: there is none */
	int64_t waiting, oldest_s; /* events that are not sealed yet; -1: none */
	int is_busy;               /* another sealer was at work, which is as good */
};

/*
 * Seals what no running transaction can come before, in batches that each commit whole, and writes
 * the checkpoints outside the database. db: as STORE_SEALER. Takes no lock that anybody but another
 * sealer waits for. Refuses to go on where the database is older than the checkpoint files, or its
 * newest checkpoint is not what was signed. Logs an error where an event still waits after three of
 * the refresher's periods. Returns: ERR_CONFLICT for that; the key ring's, the
 * database's and ERR_IO.
 */
enum err custody_sealer_run(struct work *w, const struct conf *conf, struct store_db *db,
	struct custody_sealed *sealed) MUST_CHECK;

/*
 * What a batch and a prune have in common, within their transaction: the newest checkpoint, proved
 * by its signature, and its tree. Returns: ERR_CONFLICT.
 */
struct custody_sealer_head {
	struct store_seal_head row;
	struct vault_tree tree;
};
enum err custody_sealer_head(struct work *w, struct store_db *db,
	const struct vault_publics *publics, struct custody_sealer_head *head) MUST_CHECK;

/* Signs and stores the checkpoint after head, for what its tree has become. pruned: what it says of
 * a month, or NULL. */
enum err custody_sealer_mark(struct work *w, struct store_db *db,
	const struct vault_keyring *keyring, const struct custody_sealer_head *head,
	const char *horizon, const struct custody_checkpoint *pruned) MUST_CHECK;

/* Whether the files are not ahead of the database and agree with it. Returns: ERR_CONFLICT, ERR_IO.
 */
enum err custody_sealer_compare(struct work *w, struct store_db *db, int dir_fd) MUST_CHECK;

#endif
