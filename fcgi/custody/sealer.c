/*
 * The sealer. It decides what is sealed next and when it has to stop; how a leaf, a tree and a
 * checkpoint look is decided elsewhere.
 */
#include "custody/sealer.h"

#include "base/log.h"
#include "base/text.h"
#include "custody/anchor.h"
#include "custody/leaf.h"
#include "store/audit.h"

#include <inttypes.h>
#include <string.h>

#define BATCH 10000
#define ALERT_PERIODS 3
#define ROW_MAX_BYTES ((size_t)1024 * 1024)
#define BATCH_BUDGET_MS 600000
#define BEYOND "18446744073709551615" /* every transaction's number is below it */

struct batch {
	struct custody_sealer_head head;
	struct buf scratch;
	int64_t *events, *at_us;
	unsigned char *hashes;
	char last_xid[24];
	size_t n;
	int64_t told; /* of them, events of ours that tell of a sealing */
};

struct run {
	struct vault_keyring *keyring;
	struct vault_publics publics;
	struct custody_sealed *sealed;
	int64_t others; /* events of this run that are no sealings */
	int has_told, is_last;
	size_t n; /* of the newest batch */
};

static enum err refuse(struct work *w, const char *why)
{
	return work_fail(w, ERR_CONFLICT, "%s; vestalctl audit verify tells more", why);
}

/* --- the newest checkpoint ------------------------------------------------------------------- */

enum err custody_sealer_head(struct work *w, struct store_db *db,
	const struct vault_publics *publics, struct custody_sealer_head *head)
{
	struct store_seal_head *row = &head->row;
	unsigned char root[VAULT_HASH_BYTES];
	struct custody_checkpoint signed_;
	struct vault_note note;
	enum err err = store_seal_head(w, db, row);

	head->tree = (struct vault_tree){.size = 0};
	if (err || !row->number)
		return err;
	if (!vault_note_take(row->note, strlen(row->note), &note) ||
		!custody_checkpoint_read(w, &note, &signed_) || !vault_note_fits(w, &note, publics))
		return refuse(w, "the newest checkpoint is not signed by a key of audit.pub");
	if (signed_.number != row->number || signed_.size != row->size ||
		!text_equal(signed_.origin, row->origin) ||
		!vault_tree_load(&head->tree, row->size, row->frontier, row->frontier_n))
		return refuse(w, "the newest checkpoint is not what was signed");
	err = vault_tree_root(&head->tree, root);
	if (!err && memcmp(root, signed_.root, sizeof(root)) != 0)
		return refuse(w, "the newest checkpoint's tree is not what was signed");
	return err;
}

static enum err new_origin(struct work *w, const char **origin)
{
	unsigned char id[8];
	enum err err = vault_crypto_random_public(id, sizeof(id));

	*origin = work_printf(w, "vestal/audit/%s", text_hex(w, id, sizeof(id)));
	return err;
}

enum err custody_sealer_mark(struct work *w, struct store_db *db,
	const struct vault_keyring *keyring, const struct custody_sealer_head *head,
	const char *horizon, const struct custody_checkpoint *pruned)
{
	unsigned char frontier[VAULT_TREE_FRONTIER_MAX_BYTES];
	struct custody_checkpoint c =
		pruned ? *pruned : (struct custody_checkpoint){.origin = NULL};
	struct store_seal_checkpoint row;
	const char *note;
	enum err err = vault_tree_root(&head->tree, c.root);

	c.origin = head->row.origin;
	c.number = head->row.number + 1;
	c.size = head->tree.size;
	c.at = head->row.now;
	if (!err && !c.origin)
		err = new_origin(w, &c.origin);
	if (!err)
		err = custody_checkpoint_sign(w, keyring, &c, &note);
	if (err)
		return err;
	row = (struct store_seal_checkpoint){.number = c.number,
		.size = c.size,
		.origin = c.origin,
		.horizon = horizon,
		.pruned = c.pruned,
		.note = note,
		.root = c.root,
		.root_n = sizeof(c.root),
		.frontier = frontier,
		.frontier_n = vault_tree_save(&head->tree, frontier)};
	return store_seal_add_checkpoint(w, db, &row);
}

/* --- a batch --------------------------------------------------------------------------------- */

static enum err take(struct work *w, const struct store_rows *row, void *context)
{
	struct batch *b = context;
	unsigned char *hash = b->hashes + VAULT_HASH_BYTES * b->n;
	const char *xid = store_get_text(row, 0, CUSTODY_LEAF_XID);
	enum err err = custody_leaf_hash(&b->scratch, row, 0, hash);

	(void)w;
	if (!err)
		err = vault_tree_add(&b->head.tree, hash);
	if (err || strlen(xid) >= sizeof(b->last_xid))
		return err ? err : ERR_BUG;
	memcpy(b->last_xid, xid, strlen(xid) + 1);
	b->events[b->n] = store_get_int(row, 0, CUSTODY_LEAF_ID);
	b->at_us[b->n] = store_get_int(row, 0, CUSTODY_LEAF_AT);
	b->told += text_equal(store_get_text(row, 0, CUSTODY_LEAF_ACTION), "audit.sealed");
	b->n++;
	return ERR_OK;
}

/* After a restore into another cluster everything without a leaf is looked for once. */
static enum err fetch(struct work *w, struct store_db *db, struct batch *b)
{
	const struct store_seal_head *row = &b->head.row;
	const char *from = row->horizon && !row->is_ahead ? row->horizon : "0";

	b->events = work_alloc(w, BATCH * sizeof(*b->events));
	b->at_us = work_alloc(w, BATCH * sizeof(*b->at_us));
	b->hashes = work_alloc(w, (size_t)BATCH * VAULT_HASH_BYTES);
	buf_init(&b->scratch, w, ROW_MAX_BYTES);
	return store_seal_pending(w, db, from,
		row->number && !row->is_ahead ? row->now_horizon : BEYOND, row->now_horizon, BATCH,
		take, b);
}

/* Below this, everything has its leaf once the batch is stored. */
static const char *horizon_after(const struct batch *b)
{
	const struct store_seal_head *row = &b->head.row;

	if (b->n < BATCH)
		return row->now_horizon;
	if (row->is_ahead)
		return row->horizon;
	return row->number ? b->last_xid : "0";
}

/* One event a run, and none for a run that only sealed the events of runs before. */
static enum err tell(struct work *w, struct store_db *db, struct run *run, const struct batch *b)
{
	const int64_t number = b->head.row.number + (b->n > 0);

	run->others += (int64_t)b->n - b->told;
	run->is_last = b->n < BATCH;
	if (!run->is_last || run->has_told || !run->others)
		return ERR_OK;
	run->has_told = 1;
	return store_audit_add(w, db,
		&(struct store_event){.action = "audit.sealed",
			.object_type = "checkpoint",
			.object_id = work_printf(w, "%" PRId64, number),
			.detail_json =
				work_printf(w, "{\"size\":%" PRId64 ",\"events\":%" PRId64 "}",
					b->head.tree.size, run->sealed->events + (int64_t)b->n)});
}

static enum err seal_batch(struct work *w, struct store_db *db, void *context)
{
	struct run *run = context;
	struct batch *b = work_alloc(w, sizeof(*b));
	int is_ours = 0;
	enum err err = store_seal_lock(w, db, &is_ours);

	run->n = 0;
	run->sealed->is_busy = !err && !is_ours;
	if (err || !is_ours)
		return err;
	err = custody_sealer_head(w, db, &run->publics, &b->head);
	if (!err)
		err = fetch(w, db, b);
	if (!err && b->n)
		err = store_seal_add_leaves(
			w, db, b->head.row.size, b->events, b->at_us, b->n, b->hashes);
	if (!err && b->n)
		err = custody_sealer_mark(w, db, run->keyring, &b->head, horizon_after(b), NULL);
	if (!err)
		err = tell(w, db, run, b);
	if (err)
		return err;
	run->n = b->n;
	run->sealed->size = b->head.tree.size;
	run->sealed->number = b->head.row.number + (b->n > 0);
	return ERR_OK;
}

/* Until nothing is left; the event that tells of it gets its own checkpoint, and then it ends,
 * however much is written meanwhile. */
static enum err seal_all(struct work *w, struct store_db *db, struct run *run)
{
	enum err err = ERR_OK;
	int is_over = 0;

	while (!err && !is_over) {
		const int had_told = run->has_told;
		struct work own;

		work_begin(&own, BATCH_BUDGET_MS);
		own.origin = w->origin;
		err = store_db_transaction(&own, db, seal_batch, run);
		if (err && own.detail)
			work_fail(w, err, "%s", own.detail);
		if (err && own.cause)
			work_cause(w, err, "%s", own.cause);
		work_end(&own);
		if (!err)
			run->sealed->events += (int64_t)run->n;
		is_over = run->has_told == had_told && (!run->n || run->is_last);
	}
	return err;
}

/* --- the run --------------------------------------------------------------------------------- */

enum err custody_sealer_compare(struct work *w, struct store_db *db, int dir_fd)
{
	struct custody_anchor newest;
	struct store_rows *rows = NULL;
	enum err err = custody_anchor_newest(w, dir_fd, &newest);

	if (err || !newest.number)
		return err;
	err = store_seal_notes(w, db, newest.number - 1, 1, &rows);
	if (err)
		return err;
	if (!store_count(rows))
		return work_fail(w, ERR_CONFLICT,
			"the database is older than checkpoints/%s, which has checkpoint %" PRId64
			" of %" PRId64
			" events; if it was restored on purpose, keep the files of that folder "
			"elsewhere as evidence and empty it",
			newest.file, newest.number, newest.size);
	if (!text_equal(store_get_text(rows, 0, 1), newest.note))
		return work_fail(w, ERR_CONFLICT,
			"checkpoint %" PRId64 " of the database is not the one of checkpoints/%s",
			newest.number, newest.file);
	return ERR_OK;
}

/* What still waits does so behind a transaction that goes on, or because too much is written. */
static enum err look_for_late(
	struct work *w, const struct conf *conf, struct store_db *db, struct custody_sealed *sealed)
{
	const int64_t bound_s = ALERT_PERIODS * conf_number(conf, CONF_refresh_period_s);
	struct store_seal_status status;
	enum err err = store_seal_status(w, db, &status);

	if (err)
		return err;
	sealed->waiting = status.unsealed;
	sealed->oldest_s = status.oldest_s;
	if (status.oldest_s > bound_s)
		log_event(LOG_ERROR, "audit.unsealed", LOG_INT("events", status.unsealed),
			LOG_INT("oldest_s", status.oldest_s), LOG_INT("bound_s", bound_s));
	return ERR_OK;
}

enum err custody_sealer_run(
	struct work *w, const struct conf *conf, struct store_db *db, struct custody_sealed *sealed)
{
	struct run run = {.sealed = sealed};
	int dir_fd = -1;
	enum err err, written;

	*sealed = (struct custody_sealed){.events = 0};
	err = custody_checkpoint_keys(w, conf, &run.keyring, &run.publics);
	if (!err)
		err = custody_anchor_open(w, conf, 1, &dir_fd);
	if (!err)
		err = custody_sealer_compare(w, db, dir_fd);
	if (!err) {
		err = seal_all(w, db, &run);
		written = custody_anchor_write(w, dir_fd, db);
		err = err ? err : written;
		if (!err)
			err = look_for_late(w, conf, db, sealed);
	}
	vault_keyring_free(run.keyring);
	return err;
}
