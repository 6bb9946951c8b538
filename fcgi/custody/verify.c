/*
 * Verification. It decides what counts as tampering and how it is named. Nothing that the database
 * says of itself is believed where a signature can be asked.
 */
#include "custody/verify.h"

#include "base/text.h"
#include "custody/anchor.h"
#include "custody/leaf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ROW_MAX_BYTES ((size_t)1024 * 1024)
#define PRUNED_MAX 1200
#define STEP_BUDGET_MS 60000
#define LAG_PERIODS 2

/* Columns of queries/seal/leaves.sql. */
enum { L_INDEX, L_EVENT, L_AT, L_MONTH, L_HASH, L_IS_THERE, L_IS_DETAIL, L_COLUMNS };

/* A checkpoint of the database, as far as it is needed later. */
struct mark {
	int64_t size;
	unsigned char root[VAULT_HASH_BYTES], note[VAULT_HASH_BYTES];
};

struct pruned {
	struct custody_checkpoint said;
	struct vault_hash *hash;
	int64_t rows;
};

struct check {
	struct work *w;
	const struct conf *conf;
	struct store_db *db;
	const struct vault_publics *publics;
	const struct custody_witness *witness;
	struct custody_verify *proof;
	const char *origin;
	struct mark *marks;
	int64_t mark_count, next_mark;
	struct pruned *pruned;
	size_t pruned_count;
	struct vault_tree tree;
	struct buf scratch;
	int64_t batch_xid, batch_event; /* the leaf before, of the same checkpoint */
	int has_lost_tree;              /* roots cannot agree any more: said once */
	int64_t good_size;              /* leaves that the newest root that agreed covers */
	int64_t file_notes, valid_notes;
	int64_t seen_number;             /* the files' newest before the snapshot was taken */
	struct custody_checkpoint ahead; /* the furthest that the database does not have */
};

static void __attribute__((format(printf, 5, 6)))
find(struct check *c, const char *what, int64_t leaf, int64_t event, const char *format, ...)
{
	struct custody_verify *proof = c->proof;
	const int is_warning = text_equal(what, "unsealed") || text_equal(what, "token_unknown") ||
			       text_equal(what, "files_missing");
	char text[512];
	va_list args;

	proof->faults += !is_warning;
	if (proof->listed == CUSTODY_VERIFY_LISTED)
		return;
	va_start(args, format);
	if (vsnprintf(text, sizeof(text), format, args) < 0)
		text[0] = '\0';
	va_end(args);
	proof->findings[proof->listed++] = (struct custody_finding){.what = what,
		.detail = work_strdup(c->w, text),
		.leaf = leaf,
		.event = event,
		.is_warning = is_warning};
}

/* --- checkpoints ----------------------------------------------------------------------------- */

/* A note that was signed with a key we believe. */
static int read_signed(struct check *c, struct work *w, const char *bytes, size_t n,
	struct vault_note *note, struct custody_checkpoint *said)
{
	return vault_note_take(bytes, n, note) && custody_checkpoint_read(w, note, said) &&
	       vault_note_fits(w, note, c->publics);
}

static enum err add_pruned(struct check *c, const struct custody_checkpoint *said)
{
	struct pruned *p = &c->pruned[c->pruned_count];

	if (c->pruned_count == PRUNED_MAX)
		return work_fail(c->w, ERR_TOO_LARGE, "more than %d months are pruned", PRUNED_MAX);
	p->said = *said;
	p->said.pruned = work_strdup(c->w, said->pruned);
	p->said.pruned_leaves = work_strdup(c->w, said->pruned_leaves);
	c->pruned_count++;
	c->proof->pruned_months++;
	return vault_crypto_hash_new(&p->hash);
}

static enum err check_checkpoint(
	struct check *c, struct work *own, const struct store_rows *row, struct mark *mark)
{
	const int64_t number = store_get_int(row, 0, 0), size = store_get_int(row, 0, 2);
	const char *text = store_get_text(row, 0, 4), *month = store_get_text(row, 0, 5);
	struct custody_checkpoint said;
	struct vault_note note;
	size_t root_n = 0;
	const unsigned char *root = store_get_bytes(own, row, 0, 3, &root_n);
	enum err err = vault_crypto_sha256(text, strlen(text), mark->note);

	if (err)
		return err;
	mark->size = size;
	if (root && root_n == sizeof(mark->root))
		memcpy(mark->root, root, root_n);
	if (number != c->mark_count)
		find(c, "checkpoint", -1, 0,
			"checkpoint %" PRId64 " stands where %" PRId64 " is due", number,
			c->mark_count);
	if (!read_signed(c, own, text, strlen(text), &note, &said) ||
		note.whole_n != strlen(text)) {
		find(c, "signature", -1, 0,
			"checkpoint %" PRId64 " is not signed by a key that is known", number);
		return ERR_OK;
	}
	if (!c->origin)
		c->origin = work_strdup(c->w, said.origin);
	if (said.number != number || said.size != size || !root ||
		memcmp(said.root, mark->root, sizeof(said.root)) != 0 ||
		!text_equal(said.origin, store_get_text(row, 0, 1)) ||
		!text_equal(said.origin, c->origin) ||
		(said.pruned || month ? !text_equal(said.pruned, month) : 0))
		find(c, "checkpoint", -1, 0, "checkpoint %" PRId64 " is not what was signed",
			number);
	/* What was signed counts from here on. */
	mark->size = said.size;
	memcpy(mark->root, said.root, sizeof(said.root));
	return said.pruned ? add_pruned(c, &said) : ERR_OK;
}

static enum err on_checkpoint(struct work *w, const struct store_rows *row, void *context)
{
	struct check *c = context;
	struct work own;
	enum err err;

	if (!c->marks)
		c->marks = work_alloc(w, (size_t)store_get_int(row, 0, 6) * sizeof(*c->marks));
	work_begin(&own, STEP_BUDGET_MS);
	c->mark_count++;
	err = check_checkpoint(c, &own, row, &c->marks[c->mark_count - 1]);
	work_end(&own);
	return err;
}

/* --- leaves ---------------------------------------------------------------------------------- */

static struct pruned *pruned_month(struct check *c, const char *month)
{
	for (size_t i = 0; i < c->pruned_count; i++)
		if (text_equal(c->pruned[i].said.pruned, month))
			return &c->pruned[i];
	return NULL;
}

/* Compares the tree with every checkpoint of its size. */
static enum err compare_roots(struct check *c)
{
	unsigned char root[VAULT_HASH_BYTES];
	enum err err = ERR_OK;

	while (!err && c->next_mark < c->mark_count &&
		c->marks[c->next_mark].size <= c->tree.size) {
		const struct mark *mark = &c->marks[c->next_mark++];

		err = vault_tree_root(&c->tree, root);
		c->batch_xid = c->batch_event = 0;
		if (err || c->has_lost_tree)
			continue;
		if (mark->size == c->tree.size && memcmp(root, mark->root, sizeof(root)) == 0) {
			c->good_size = mark->size;
			continue;
		}
		c->has_lost_tree = 1;
		find(c, "leaves_changed", c->good_size, 0,
			"leaves %" PRId64 " to %" PRId64 " are not those that checkpoint %" PRId64
			" was signed for",
			c->good_size, mark->size - 1, c->next_mark);
	}
	return err;
}

static void check_order(struct check *c, const struct store_rows *row, int64_t leaf)
{
	const int64_t event = store_get_int(row, 0, L_EVENT);
	const int64_t xid = store_get_int(row, 0, L_COLUMNS + CUSTODY_LEAF_XID);

	if (xid < c->batch_xid || (xid == c->batch_xid && event < c->batch_event))
		find(c, "swapped", leaf, event, "it comes after one that it has to precede");
	c->batch_xid = xid;
	c->batch_event = event;
}

static enum err check_event(struct check *c, const struct store_rows *row, int64_t leaf)
{
	const int64_t event = store_get_int(row, 0, L_EVENT);
	unsigned char hash[VAULT_HASH_BYTES];
	char hex[CUSTODY_LEAF_HEX_BYTES];
	enum err err = custody_leaf_hash(&c->scratch, row, L_COLUMNS, hash);

	if (err && err != ERR_TOO_LARGE)
		return err;
	c->proof->events_seen++;
	if (err || !text_equal(custody_leaf_hex(hash, hex), store_get_text(row, 0, L_HASH)) ||
		!store_get_bool(row, 0, L_IS_DETAIL))
		find(c, "changed", leaf, event, "the event is not the one that was sealed");
	else
		check_order(c, row, leaf);
	return ERR_OK;
}

static enum err check_absent(struct check *c, const struct store_rows *row, int64_t leaf)
{
	if (!pruned_month(c, store_get_text(row, 0, L_MONTH)))
		find(c, "deleted", leaf, store_get_int(row, 0, L_EVENT),
			"the event is gone, and no signed checkpoint prunes its month (%s)",
			store_get_text(row, 0, L_MONTH));
	return ERR_OK;
}

static enum err count_pruned(struct check *c, const struct store_rows *row)
{
	struct pruned *p = pruned_month(c, store_get_text(row, 0, L_MONTH));
	char line[CUSTODY_CHECKPOINT_LINE_BYTES];

	if (!p)
		return ERR_OK;
	p->rows++;
	return vault_crypto_hash_add(p->hash, line,
		custody_checkpoint_leaf_line(line, store_get_text(row, 0, L_INDEX),
			store_get_text(row, 0, L_EVENT), store_get_text(row, 0, L_AT),
			store_get_text(row, 0, L_HASH)));
}

static enum err on_leaf(struct work *w, const struct store_rows *row, void *context)
{
	struct check *c = context;
	const int64_t leaf = store_get_int(row, 0, L_INDEX);
	unsigned char hash[VAULT_HASH_BYTES] = {0};
	enum err err = compare_roots(c);

	(void)w;
	if (leaf != c->tree.size) {
		find(c, "leaf_missing", c->tree.size, 0,
			"leaves %" PRId64 " to %" PRId64 " are gone", c->tree.size, leaf - 1);
		c->has_lost_tree = 1;
		c->tree.size = leaf; /* its nodes say nothing any more */
	}
	if (!err)
		err = store_get_bool(row, 0, L_IS_THERE) ? check_event(c, row, leaf)
							 : check_absent(c, row, leaf);
	if (!err)
		err = count_pruned(c, row);
	if (!err && !custody_leaf_unhex(store_get_text(row, 0, L_HASH), hash))
		find(c, "leaves_changed", leaf, 0, "the leaf is no hash");
	if (!err && c->has_lost_tree)
		c->tree.size++;
	else if (!err)
		err = vault_tree_add(&c->tree, hash);
	return err;
}

static enum err end_leaves(struct check *c)
{
	const int64_t due = c->mark_count ? c->marks[c->mark_count - 1].size : 0;
	enum err err = compare_roots(c);

	if (c->tree.size < due)
		find(c, "leaf_missing", c->tree.size, 0,
			"leaves %" PRId64 " to %" PRId64 " are gone", c->tree.size, due - 1);
	if (c->tree.size > due)
		find(c, "leaf_added", due, 0,
			"leaves %" PRId64 " to %" PRId64 " are in no checkpoint", due,
			c->tree.size - 1);
	c->proof->size = c->tree.size;
	c->proof->number = c->mark_count;
	return err;
}

static enum err end_pruned(struct check *c)
{
	unsigned char hash[VAULT_HASH_BYTES];
	char hex[CUSTODY_LEAF_HEX_BYTES];
	enum err err = ERR_OK;

	for (size_t i = 0; i < c->pruned_count; i++) {
		struct pruned *p = &c->pruned[i];

		if (!err)
			err = vault_crypto_hash_end(p->hash, hash);
		if (!err &&
			(p->rows != p->said.pruned_rows ||
				!text_equal(custody_leaf_hex(hash, hex), p->said.pruned_leaves)))
			find(c, "prune", -1, 0,
				"the leaves of %s are not those that were signed when it was "
				"pruned "
				"(%" PRId64 " of %" PRId64 ")",
				p->said.pruned, p->rows, p->said.pruned_rows);
		vault_crypto_hash_free(p->hash);
		p->hash = NULL;
	}
	return err;
}

/* --- outside the database -------------------------------------------------------------------- */

static enum err check_note(struct check *c, const char *file, const struct vault_note *note,
	const struct custody_checkpoint *said)
{
	unsigned char hash[VAULT_HASH_BYTES];
	enum err err = vault_crypto_sha256(note->whole, note->whole_n, hash);

	if (err)
		return err;
	if (c->origin && !text_equal(said->origin, c->origin))
		find(c, "other_trail", -1, 0, "%s: checkpoint %" PRId64 " is of %s, here is %s",
			file, said->number, said->origin, c->origin);
	else if (said->number > c->mark_count) {
		if (said->number <= c->seen_number && said->number > c->ahead.number) {
			c->ahead.number = said->number;
			c->ahead.size = said->size;
		}
	} else if (memcmp(hash, c->marks[said->number - 1].note, sizeof(hash)) != 0)
		find(c, "fork", -1, 0, "%s: checkpoint %" PRId64 " is another than the database's",
			file, said->number);
	return ERR_OK;
}

/* Once for a folder or witness, however many checkpoints the database lacks. */
static void end_notes(struct check *c, const char *file)
{
	if (c->ahead.number)
		find(c, "rolled_back", c->ahead.size > c->tree.size ? c->tree.size : -1, 0,
			"%s has checkpoint %" PRId64 " of %" PRId64
			" events; the database ends with checkpoint %" PRId64 " of %" PRId64,
			file, c->ahead.number, c->ahead.size, c->mark_count, c->tree.size);
	c->ahead.number = 0;
}

/* The same bytes as the database's note, whose signature was asked already. */
static int is_known(
	struct check *c, const struct vault_note *note, const struct custody_checkpoint *said)
{
	unsigned char hash[VAULT_HASH_BYTES];

	return said->number <= c->mark_count &&
	       !vault_crypto_sha256(note->whole, note->whole_n, hash) &&
	       memcmp(hash, c->marks[said->number - 1].note, sizeof(hash)) == 0;
}

static enum err check_one(
	struct check *c, const char *file, const struct vault_note *note, int unknown_is_fault)
{
	struct custody_checkpoint said;
	struct work own;
	enum err err = ERR_OK;

	work_begin(&own, STEP_BUDGET_MS);
	c->file_notes++;
	if (!custody_checkpoint_read(&own, note, &said) ||
		(!is_known(c, note, &said) && !vault_note_fits(&own, note, c->publics))) {
		if (unknown_is_fault)
			find(c, "file", -1, 0, "%s: note %" PRId64 " is not signed by a known key",
				file, c->file_notes);
	} else {
		c->valid_notes++;
		err = check_note(c, file, note, &said);
	}
	work_end(&own);
	return err;
}

static enum err check_notes(
	struct check *c, const char *file, const char *bytes, size_t n, int unknown_is_fault)
{
	struct vault_note note;
	enum err err = ERR_OK;
	size_t at = 0;

	while (!err && at < n && vault_note_take(bytes + at, n - at, &note)) {
		err = check_one(c, file, &note, unknown_is_fault);
		at += note.whole_n;
	}
	if (!err && at < n && unknown_is_fault)
		find(c, "file", -1, 0, "%s ends with something that is no checkpoint", file);
	return err;
}

static enum err on_file(
	struct work *w, const char *file, const char *bytes, size_t n, void *context)
{
	struct check *c = context;

	(void)w;
	c->file_notes = 0;
	return check_notes(c, file, bytes, n, 1);
}

static enum err check_files(struct check *c)
{
	int fd = -1;
	enum err err = custody_anchor_open(c->w, c->conf, 0, &fd);

	c->valid_notes = 0;
	if (err == ERR_NOT_FOUND) {
		if (c->mark_count)
			find(c, "files_missing", -1, 0, "this host has no checkpoint files");
		return ERR_OK;
	}
	if (!err)
		err = custody_anchor_each(c->w, fd, on_file, c);
	end_notes(c, "this host");
	if (!err && c->valid_notes < c->mark_count)
		find(c, "files_missing", -1, 0,
			"%" PRId64 " of %" PRId64 " checkpoints are not in this host's files",
			c->mark_count - c->valid_notes, c->mark_count);
	return err;
}

static enum err check_witness(struct check *c)
{
	enum err err;

	if (!c->witness)
		return ERR_OK;
	c->valid_notes = c->file_notes = 0;
	c->seen_number = INT64_MAX;
	err = check_notes(c, c->witness->name, c->witness->bytes, c->witness->n, 0);
	end_notes(c, c->witness->name);
	if (!err && !c->valid_notes)
		find(c, "file", -1, 0, "%s holds no checkpoint that is signed by a known key",
			c->witness->name);
	return err;
}

/* --- the rest of the database ---------------------------------------------------------------- */

static enum err on_unsealed(struct work *w, const struct store_rows *row, void *context)
{
	struct check *c = context;
	const int64_t age_s = store_get_int(row, 0, 1);

	(void)w;
	if (store_get_bool(row, 0, 2))
		find(c, "inserted", -1, store_get_int(row, 0, 0),
			"the event was put among others that were sealed before");
	c->proof->unsealed++;
	if (age_s > c->proof->oldest_unsealed_s)
		c->proof->oldest_unsealed_s = age_s;
	return ERR_OK;
}

static enum err check_unsealed(struct check *c)
{
	const int64_t bound_s = LAG_PERIODS * conf_number(c->conf, CONF_refresh_period_s);
	enum err err = store_seal_each(c->w, c->db, STORE_SEAL_UNSEALED, on_unsealed, c);

	if (!err && c->proof->oldest_unsealed_s > bound_s)
		find(c, "unsealed", -1, 0,
			"%" PRId64 " events are not sealed, the oldest for %" PRId64
			" s; the bound is %" PRId64 " s",
			c->proof->unsealed, c->proof->oldest_unsealed_s, bound_s);
	return err;
}

static enum err on_token(struct work *w, const struct store_rows *row, void *context)
{
	struct check *c = context;
	const char *client = store_get_text(row, 0, 0), *provider = store_get_text(row, 0, 1);
	const char *wrong = store_get_text(row, 0, 5);
	const int64_t held = store_get_int(row, 0, 2), told = store_get_int(row, 0, 3);

	(void)w;
	if (text_equal(wrong, "unknown"))
		find(c, "token_unknown", -1, 0,
			"%s %s: no event tells of the token (generation %" PRId64 ")", client,
			provider, held);
	else
		find(c, "token", -1, store_get_int(row, 0, 4),
			"%s %s: the row (generation %" PRId64 ") disagrees with its last event "
			"(generation %" PRId64 "): %s",
			client, provider, held, told, wrong);
	return ERR_OK;
}

static enum err on_drift(struct work *w, const struct store_rows *row, void *context)
{
	(void)w;
	find(context, "grants", -1, 0, "%s: %s", store_get_text(row, 0, 0),
		store_get_text(row, 0, 1));
	return ERR_OK;
}

static enum err check_all(struct work *w, struct store_db *db, void *context)
{
	struct check *c = context;
	enum err err = store_seal_each(w, db, STORE_SEAL_CHECKPOINTS, on_checkpoint, c), end;

	if (!err)
		err = store_seal_each(w, db, STORE_SEAL_LEAVES, on_leaf, c);
	if (!err)
		err = end_leaves(c);
	end = end_pruned(c);
	err = err ? err : end;
	if (!err)
		err = check_unsealed(c);
	if (!err)
		err = store_seal_each(w, db, STORE_SEAL_DRIFT, on_drift, c);
	if (!err)
		err = store_seal_each(w, db, STORE_SEAL_TOKENS, on_token, c);
	return err;
}

/* What a sealer writes from here on is in the files and not in the snapshot: no sign of a database
 * that was turned back. */
static enum err look_ahead(struct check *c)
{
	struct custody_anchor newest = {.number = 0};
	int fd = -1;
	enum err err = custody_anchor_open(c->w, c->conf, 0, &fd);

	if (!err)
		err = custody_anchor_newest(c->w, fd, &newest);
	c->seen_number = err ? INT64_MAX : newest.number;
	if (err != ERR_NOT_FOUND && err != ERR_CONFLICT)
		return err;
	work_forgive(c->w);
	return ERR_OK;
}

enum err custody_verify_run(struct work *w, const struct conf *conf, struct store_db *db,
	const struct vault_publics *publics, const struct custody_witness *witness,
	struct custody_verify **proof)
{
	struct check *c = work_alloc(w, sizeof(*c));
	enum err err;

	*proof = work_alloc(w, sizeof(**proof));
	(*proof)->oldest_unsealed_s = -1;
	*c = (struct check){.w = w,
		.conf = conf,
		.db = db,
		.publics = publics,
		.witness = witness,
		.proof = *proof};
	c->pruned = work_alloc(w, PRUNED_MAX * sizeof(*c->pruned));
	buf_init(&c->scratch, w, ROW_MAX_BYTES);
	err = look_ahead(c);
	if (!err)
		err = store_seal_snapshot(w, db, check_all, c);
	if (!err)
		err = check_files(c);
	return err ? err : check_witness(c);
}
