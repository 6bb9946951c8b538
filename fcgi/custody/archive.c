/* Export and pruning. It decides what an archive holds and when a month may go. */
#include "custody/archive.h"

#include "base/jout.h"
#include "base/text.h"
#include "custody/anchor.h"
#include "custody/leaf.h"
#include "custody/sealer.h"
#include "store/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OUT_BYTES ((size_t)64 * 1024)
#define ROW_MAX_BYTES ((size_t)4 * 1024 * 1024)

enum kind { TEXT, NUMBER, BOOL };

/* The columns of queries/seal/export.sql. */
static const struct {
	const char *name;
	enum kind kind;
} columns[] = {
	{"leaf", NUMBER},
	{"id", NUMBER},
	{"at", TEXT},
	{"xid", NUMBER},
	{"dbUser", TEXT},
	{"salt", TEXT},
	{"schemaVersion", NUMBER},
	{"host", TEXT},
	{"program", TEXT},
	{"requestId", TEXT},
	{"runId", TEXT},
	{"actor", TEXT},
	{"actorAuth", TEXT},
	{"address", TEXT},
	{"userAgent", TEXT},
	{"action", TEXT},
	{"outcome", TEXT},
	{"objectType", TEXT},
	{"objectId", TEXT},
	{"clientId", TEXT},
	{"provider", TEXT},
	{"connectionId", NUMBER},
	{"incidentId", NUMBER},
	{"generation", NUMBER},
	{"keyId", TEXT},
	{"fingerprint", TEXT},
	{"reason", TEXT},
	{"severity", TEXT},
	{"clockOk", BOOL},
	{"detailText", TEXT},
};
#define COLUMNS ((int)(sizeof(columns) / sizeof(*columns)))

struct writer {
	struct custody_export *asked;
	struct vault_hash *hash;
	struct buf line;
};

int custody_archive_month(struct work *w, const char *month, const char **from, const char **to)
{
	int64_t year = 0, number = 0;

	if (strlen(month) != 7 || month[4] != '-' ||
		!text_to_int(work_printf(w, "%.4s", month), 2000, 9998, &year) ||
		!text_to_int(month + 5 + (month[5] == '0'), 1, 12, &number))
		return 0;
	*from = work_printf(w, "%s-01T00:00:00Z", month);
	*to = number == 12 ? work_printf(w, "%04d-01-01T00:00:00Z", (int)year + 1)
			   : work_printf(w, "%04d-%02d-01T00:00:00Z", (int)year, (int)number + 1);
	return 1;
}

/* --- writing --------------------------------------------------------------------------------- */

static enum err write_all(struct work *w, int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t written = write(fd, bytes, n);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return work_fail(w, ERR_IO, "the export cannot be written (%s)",
				strerrorname_np(errno));
		bytes += written;
		n -= (size_t)written;
	}
	return ERR_OK;
}

/* Hashes and writes what has gathered. */
static enum err drain(struct work *w, struct writer *writer)
{
	enum err err;

	if (writer->line.overflow)
		return work_fail(w, ERR_TOO_LARGE, "an event is too large to be exported");
	err = vault_crypto_hash_add(writer->hash, writer->line.data, writer->line.len);
	if (!err)
		err = write_all(w, writer->asked->fd, writer->line.data, writer->line.len);
	buf_clear(&writer->line);
	return err;
}

static void add_json(struct buf *line, const struct store_rows *row)
{
	struct jout j;

	jout_init(&j, line);
	jout_object(&j, NULL);
	for (int i = 0; i < COLUMNS; i++) {
		const char *value = store_get_text(row, 0, i);

		if (!value)
			jout_null(&j, columns[i].name);
		else if (columns[i].kind == TEXT)
			jout_text(&j, columns[i].name, value);
		else if (columns[i].kind == BOOL)
			jout_bool(&j, columns[i].name, text_equal(value, "t"));
		else
			jout_raw(&j, columns[i].name, value);
	}
	jout_end_object(&j);
	buf_char(line, '\n');
}

/* Source: RFC 4180; OWASP, "CSV Injection": what begins like a formula gets an apostrophe. */
static void add_cell(struct buf *line, const char *value, int is_first)
{
	if (!is_first)
		buf_char(line, ',');
	if (!value)
		return;
	buf_char(line, '"');
	if (*value && strchr("=+-@\t\r\n", *value))
		buf_char(line, '\'');
	for (; *value; value++) {
		if (*value == '"')
			buf_char(line, '"');
		buf_char(line, *value);
	}
	buf_char(line, '"');
}

static void add_csv(struct buf *line, const struct store_rows *row)
{
	for (int i = 0; i < COLUMNS; i++)
		add_cell(line, row ? store_get_text(row, 0, i) : columns[i].name, i == 0);
	buf_text(line, "\r\n");
}

static enum err on_row(struct work *w, const struct store_rows *row, void *context)
{
	struct writer *writer = context;

	(writer->asked->is_csv ? add_csv : add_json)(&writer->line, row);
	writer->asked->rows++;
	writer->asked->unsealed += store_is_null(row, 0, 0);
	return writer->line.len < OUT_BYTES && !writer->line.overflow ? ERR_OK : drain(w, writer);
}

struct reading {
	struct writer writer;
	const struct vault_publics *publics;
	struct custody_sealer_head head;
};

/* Events and the checkpoint they belong to, as of one moment. */
static enum err read_all(struct work *w, struct store_db *db, void *context)
{
	struct reading *reading = context;
	struct writer *writer = &reading->writer;
	unsigned char hash[VAULT_HASH_BYTES];
	enum err err = custody_sealer_head(w, db, reading->publics, &reading->head);

	if (!err && !reading->head.row.number)
		err = work_fail(w, ERR_CONFLICT,
			"nothing is sealed yet, so nothing could be proved; vestalctl audit seal");
	if (!err && writer->asked->is_csv)
		add_csv(&writer->line, NULL);
	if (!err)
		err = store_seal_export(
			w, db, writer->asked->from, writer->asked->to, on_row, writer);
	if (!err)
		err = drain(w, writer);
	if (!err)
		err = vault_crypto_hash_end(writer->hash, hash);
	if (!err)
		custody_leaf_hex(hash, writer->asked->sha256);
	return err;
}

static enum err write_manifest(
	struct work *w, const struct vault_keyring *keyring, const struct reading *reading)
{
	const struct custody_export *asked = reading->writer.asked;
	const struct store_seal_head *head = &reading->head.row;
	struct buf text, note;
	enum err err;

	buf_init(&text, w, VAULT_NOTE_MAX_BYTES);
	buf_init(&note, w, 2 * VAULT_NOTE_MAX_BYTES);
	buf_printf(&text,
		"vestal audit export\nfile %s\nformat %s\nfrom %s\nto %s\nrows %" PRId64
		"\nunsealed %" PRId64 "\nsha256 %s\ncheckpoint %" PRId64 "\nat %s\n",
		asked->file, asked->is_csv ? "csv" : "jsonl", asked->from, asked->to, asked->rows,
		asked->unsealed, asked->sha256, head->number, head->now);
	err = text.overflow ? ERR_TOO_LARGE
			    : vault_note_sign(w, keyring, head->origin, text.data, &note);
	buf_text(&note, head->note);
	if (!err)
		err = write_all(w, asked->manifest_fd, note.data, note.len);
	if (!err && (fsync(asked->fd) < 0 || fsync(asked->manifest_fd) < 0) && errno != EINVAL)
		err = work_fail(w, ERR_IO, "the export cannot be flushed to disk (%s)",
			strerrorname_np(errno));
	return err;
}

/* Before it is whole there is no hash to tell of. */
static enum err tell(struct work *w, struct store_db *db, const struct custody_export *asked,
	const char *action, int64_t checkpoint)
{
	struct buf detail;
	struct jout j;

	buf_init(&detail, w, VAULT_NOTE_MAX_BYTES);
	jout_init(&j, &detail);
	jout_object(&j, NULL);
	jout_text(&j, "format", asked->is_csv ? "csv" : "jsonl");
	if (checkpoint) {
		jout_text(&j, "file", asked->file);
		jout_int(&j, "rows", asked->rows);
		jout_text(&j, "sha256", asked->sha256);
		jout_int(&j, "checkpoint", checkpoint);
	}
	jout_end_object(&j);
	return store_audit_add(w, db,
		&(struct store_event){.action = action,
			.object_type = asked->month && !asked->is_csv ? "month" : "range",
			.object_id = asked->month && !asked->is_csv
					     ? asked->month
					     : work_printf(w, "%s/%s", asked->from, asked->to),
			.detail_json = detail.data});
}

enum err custody_archive_export(
	struct work *w, const struct conf *conf, struct store_db *db, struct custody_export *asked)
{
	struct reading *reading = work_alloc(w, sizeof(*reading));
	struct vault_keyring *keyring = NULL;
	struct vault_publics publics;
	enum err err = custody_checkpoint_keys(w, conf, &keyring, &publics);

	*reading = (struct reading){.writer.asked = asked, .publics = &publics};
	buf_init(&reading->writer.line, w, ROW_MAX_BYTES);
	if (!err)
		err = vault_crypto_hash_new(&reading->writer.hash);
	if (!err)
		err = tell(w, db, asked, "audit.read", 0);
	if (!err)
		err = store_seal_snapshot(w, db, read_all, reading);
	if (!err)
		err = write_manifest(w, keyring, reading);
	if (!err)
		err = tell(w, db, asked, "audit.exported", reading->head.row.number);
	vault_crypto_hash_free(reading->writer.hash);
	vault_keyring_free(keyring);
	return err;
}

/* --- pruning --------------------------------------------------------------------------------- */

struct pruning {
	const char *month, *from, *to;
	const struct vault_keyring *keyring;
	const struct vault_publics *publics;
	int dir_fd;
	struct vault_hash *hash;
	int64_t leaves, last_leaf, rows;
};

static enum err on_month_leaf(struct work *w, const struct store_rows *row, void *context)
{
	struct pruning *p = context;
	char line[CUSTODY_CHECKPOINT_LINE_BYTES];

	(void)w;
	p->leaves++;
	p->last_leaf = store_get_int(row, 0, 0);
	return vault_crypto_hash_add(p->hash, line,
		custody_checkpoint_leaf_line(line, store_get_text(row, 0, 0),
			store_get_text(row, 0, 1), store_get_text(row, 0, 2),
			store_get_text(row, 0, 3)));
}

/* Sealed, exported, anchored; the rest the database refuses by itself. */
static enum err check_month(
	struct work *w, struct store_db *db, struct pruning *p, struct custody_checkpoint *says)
{
	unsigned char hash[VAULT_HASH_BYTES];
	struct custody_anchor newest;
	int64_t rows = 0;
	enum err err = store_seal_exported(w, db, p->month, &says->pruned_export, &rows);

	if (err == ERR_NOT_FOUND)
		return work_fail(w, ERR_CONFLICT,
			"%s has no sealed export; vestalctl audit export %s --out FILE, then "
			"vestalctl audit seal",
			p->month, p->month);
	if (!err)
		err = store_seal_month_leaves(w, db, p->from, p->to, on_month_leaf, p);
	if (!err)
		err = vault_crypto_hash_end(p->hash, hash);
	if (!err)
		err = custody_anchor_newest(w, p->dir_fd, &newest);
	if (err)
		return err;
	if (rows != p->leaves)
		return work_fail(w, ERR_CONFLICT,
			"the export of %s has %" PRId64 " events, and %" PRId64 " are sealed",
			p->month, rows, p->leaves);
	if (p->leaves && newest.size <= p->last_leaf)
		return work_fail(w, ERR_CONFLICT,
			"the checkpoint files do not reach the end of %s; vestalctl audit seal",
			p->month);
	says->pruned = p->month;
	says->pruned_rows = p->leaves;
	says->pruned_leaves = text_hex(w, hash, sizeof(hash));
	return ERR_OK;
}

static enum err prune(struct work *w, struct store_db *db, void *context)
{
	struct pruning *p = context;
	struct custody_sealer_head *head = work_alloc(w, sizeof(*head));
	struct custody_checkpoint says = {.pruned = p->month};
	int is_ours = 0;
	enum err err = store_seal_lock(w, db, &is_ours);

	if (!err && !is_ours)
		err = work_fail(w, ERR_CONFLICT, "a sealer is at work; try again");
	if (!err)
		err = custody_sealer_head(w, db, p->publics, head);
	if (!err)
		err = check_month(w, db, p, &says);
	if (!err)
		err = custody_sealer_mark(w, db, p->keyring, head, head->row.horizon, &says);
	if (!err)
		err = store_seal_prune(w, db, p->month, &p->rows);
	if (err == ERR_CONFLICT)
		return work_fail(w, err,
			"%s cannot be pruned: it is not over, not there, or holds events that are "
			"not sealed and exported",
			p->month);
	if (err)
		return err;
	return store_audit_add(w, db,
		&(struct store_event){.action = "audit.pruned",
			.object_type = "month",
			.object_id = p->month,
			.detail_json = work_printf(w,
				"{\"rows\":%" PRId64 ",\"checkpoint\":%" PRId64
				",\"sha256\":\"%s\"}",
				p->rows, head->row.number + 1, says.pruned_export)});
}

enum err custody_archive_prune(struct work *w, const struct conf *conf, struct store_db *db,
	const char *month, int64_t *rows)
{
	struct pruning p = {.month = month};
	struct vault_keyring *keyring = NULL;
	struct vault_publics publics;
	enum err err = custody_archive_month(w, month, &p.from, &p.to)
			       ? custody_checkpoint_keys(w, conf, &keyring, &publics)
			       : work_fail(w, ERR_USAGE, "MONTH: %s is not YYYY-MM", month);

	p.keyring = keyring;
	p.publics = &publics;
	if (!err)
		err = custody_anchor_open(w, conf, 1, &p.dir_fd);
	if (!err)
		err = custody_sealer_compare(w, db, p.dir_fd);
	if (!err)
		err = vault_crypto_hash_new(&p.hash);
	if (!err)
		err = store_db_transaction(w, db, prune, &p);
	if (!err)
		err = custody_anchor_write(w, p.dir_fd, db);
	vault_crypto_hash_free(p.hash);
	vault_keyring_free(keyring);
	*rows = p.rows;
	return err;
}
