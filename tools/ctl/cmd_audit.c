/* audit: the proof of the audit trail, made and tried. */
#include "base/clock.h"
#include "base/text.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "ctl/value.h"
#include "custody/archive.h"
#include "custody/verify.h"
#include "custody/sealer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MAX_BYTES ((size_t)32 * 1024 * 1024)
#define CHUNK_BYTES ((size_t)64 * 1024)
#define TAMPERED_EXIT 2

/* --- seal ------------------------------------------------------------------------------------ */

enum err ctl_cmd_audit_seal(struct ctl *ctl)
{
	struct custody_sealed sealed;
	enum err err = custody_sealer_run(ctl->w, &ctl->boot_conf, ctl->c.db, &sealed);

	if (err)
		return err;
	if (ctl->out.is_json) {
		struct jout *j = &ctl->out.json;

		jout_object(j, NULL);
		jout_int(j, "events", sealed.events);
		jout_int(j, "size", sealed.size);
		jout_int(j, "checkpoint", sealed.number);
		jout_int(j, "waiting", sealed.waiting);
		jout_bool(j, "busy", sealed.is_busy);
		jout_end_object(j);
	} else if (sealed.is_busy)
		buf_text(&ctl->out.text, "another sealer is at work\n");
	else
		buf_printf(&ctl->out.text,
			"%" PRId64 " events sealed; checkpoint %" PRId64 " covers %" PRId64 "\n",
			sealed.events, sealed.number, sealed.size);
	return ERR_OK;
}

/* --- verify ---------------------------------------------------------------------------------- */

/* A file of the command line, whole. Returns: ERR_IO. Owns: the work. */
static enum err read_input(struct ctl *ctl, enum ctl_option option, const char **bytes, size_t *n)
{
	char *chunk = work_alloc(ctl->w, CHUNK_BYTES);
	struct buf text;
	ssize_t got = 1;

	buf_init(&text, ctl->w, INPUT_MAX_BYTES);
	while (got) {
		got = read(ctl->inputs[option], chunk, CHUNK_BYTES);
		if (got < 0 && errno != EINTR)
			return work_fail(ctl->w, ERR_IO, "%s: it cannot be read (%s)",
				ctl_options[option].name, strerrorname_np(errno));
		if (got > 0)
			buf_add(&text, chunk, (size_t)got);
	}
	if (text.overflow)
		return work_fail(ctl->w, ERR_IO, "%s: it is too large", ctl_options[option].name);
	*bytes = text.data;
	*n = text.len;
	return ERR_OK;
}

static enum err read_publics(struct ctl *ctl, struct vault_publics *publics)
{
	const char *bytes = NULL;
	size_t n = 0;
	enum err err;

	if (!ctl_args_has(ctl->args, CTL_OPT_PUBLIC_KEY))
		return custody_checkpoint_publics(ctl->w, &ctl->boot_conf, publics);
	err = read_input(ctl, CTL_OPT_PUBLIC_KEY, &bytes, &n);
	return err ? err : vault_note_publics_parse(ctl->w, bytes, n, publics);
}

static void show_findings(
	struct jout *j, const char *key, const struct custody_verify *proof, int is_warning)
{
	jout_array(j, key);
	for (size_t i = 0; i < proof->listed; i++) {
		const struct custody_finding *finding = &proof->findings[i];

		if (finding->is_warning != is_warning)
			continue;
		jout_object(j, NULL);
		jout_text(j, "what", finding->what);
		if (finding->leaf >= 0)
			jout_int(j, "leaf", finding->leaf);
		if (finding->event)
			jout_int(j, "event", finding->event);
		jout_text(j, "detail", finding->detail);
		jout_end_object(j);
	}
	jout_end_array(j);
}

static void show_json(struct jout *j, const struct custody_verify *proof)
{
	jout_object(j, NULL);
	jout_bool(j, "ok", !proof->faults);
	jout_int(j, "size", proof->size);
	jout_int(j, "checkpoints", proof->number);
	jout_int(j, "events", proof->events_seen);
	jout_int(j, "prunedMonths", proof->pruned_months);
	jout_int(j, "unsealed", proof->unsealed);
	if (proof->oldest_unsealed_s < 0)
		jout_null(j, "oldestUnsealedSeconds");
	else
		jout_int(j, "oldestUnsealedSeconds", proof->oldest_unsealed_s);
	jout_int(j, "faults", proof->faults);
	show_findings(j, "findings", proof, 0);
	show_findings(j, "warnings", proof, 1);
	jout_end_object(j);
}

static void show_table(struct ctl *ctl, const struct custody_verify *proof)
{
	static const char *const heads[] = {"FOUND", "LEAF", "EVENT", "DETAIL", NULL};
	struct work *w = ctl->w;
	struct ctl_table table;

	if (proof->listed) {
		ctl_table_begin(&table, &ctl->out, heads, 0);
		for (size_t i = 0; i < proof->listed; i++) {
			const struct custody_finding *f = &proof->findings[i];

			ctl_table_row(&table, f->is_warning ? CTL_DOUBTFUL : CTL_BAD,
				(const char *const[]){f->what,
					f->leaf < 0 ? NULL : work_printf(w, "%" PRId64, f->leaf),
					f->event ? work_printf(w, "%" PRId64, f->event) : NULL,
					f->detail});
		}
		ctl_table_end(&table);
	}
	ctl_out_toned(
		&ctl->out, proof->faults ? CTL_BAD : CTL_GOOD, proof->faults ? "TAMPERED" : "good");
	buf_printf(&ctl->out.text,
		": %" PRId64 " leaves, %" PRId64 " checkpoints, %" PRId64
		" not sealed yet, %" PRId64 " faults\n",
		proof->size, proof->number, proof->unsealed, proof->faults);
}

enum err ctl_cmd_audit_verify(struct ctl *ctl)
{
	struct custody_witness witness = {.name = ctl_args_text(ctl->args, CTL_OPT_WITNESS)};
	struct vault_publics publics;
	struct custody_verify *proof = NULL;
	enum err err = read_publics(ctl, &publics);

	if (!err && witness.name)
		err = read_input(ctl, CTL_OPT_WITNESS, &witness.bytes, &witness.n);
	if (!err)
		err = custody_verify_run(ctl->w, &ctl->boot_conf, ctl->c.db, &publics,
			witness.name ? &witness : NULL, &proof);
	if (err)
		return err;
	if (ctl->out.is_json)
		show_json(&ctl->out.json, proof);
	else
		show_table(ctl, proof);
	ctl->exit_code = proof->faults ? TAMPERED_EXIT : 0;
	return ERR_OK;
}

/* --- export ---------------------------------------------------------------------------------- */

static enum err read_time(struct ctl *ctl, enum ctl_option option, const char **time)
{
	const char *text = ctl_args_text(ctl->args, option);
	char *out = work_alloc(ctl->w, CLOCK_TEXT_BYTES);
	int64_t at_s = 0;
	const char *fault = text ? ctl_value_time_fault(text, &at_s) : NULL;

	if (!text)
		return work_fail(ctl->w, ERR_USAGE, "MONTH, or --from and --to, have to say what");
	*time = clock_text(at_s * 1000, out);
	return fault ? ctl_bad_option(ctl, option, text, fault) : ERR_OK;
}

static enum err read_range(struct ctl *ctl, struct custody_export *asked)
{
	const struct ctl_args *args = ctl->args;
	enum err err;

	asked->month = args->positional_count ? args->positionals[0] : NULL;
	if (!asked->month) {
		err = read_time(ctl, CTL_OPT_FROM, &asked->from);
		return err ? err : read_time(ctl, CTL_OPT_TO, &asked->to);
	}
	if (ctl_args_has(args, CTL_OPT_FROM) || ctl_args_has(args, CTL_OPT_TO))
		return work_fail(
			ctl->w, ERR_USAGE, "MONTH is a range already, without --from and --to");
	if (!custody_archive_month(ctl->w, asked->month, &asked->from, &asked->to))
		return work_fail(ctl->w, ERR_USAGE, "MONTH: %s is not YYYY-MM", asked->month);
	return ERR_OK;
}

enum err ctl_cmd_audit_export(struct ctl *ctl)
{
	const char *path = ctl_args_text(ctl->args, CTL_OPT_OUT), *slash = strrchr(path, '/');
	struct custody_export asked = {.file = slash ? slash + 1 : path,
		.fd = ctl->inputs[CTL_OPT_OUT],
		.manifest_fd = ctl->manifest,
		.is_csv = ctl_args_has(ctl->args, CTL_OPT_CSV)};
	enum err err = text_has_control(path) ? work_fail(ctl->w, ERR_USAGE,
							"--out: the name has control characters")
					      : read_range(ctl, &asked);

	if (!err)
		err = custody_archive_export(ctl->w, &ctl->boot_conf, ctl->c.db, &asked);
	/* Half an export is none. */
	if (err && (ftruncate(asked.fd, 0) < 0 || ftruncate(asked.manifest_fd, 0) < 0))
		ctl_note("%s is not whole", path);
	if (err)
		return err;
	if (ctl->out.is_json) {
		struct jout *j = &ctl->out.json;

		jout_object(j, NULL);
		jout_text(j, "file", path);
		jout_int(j, "rows", asked.rows);
		jout_int(j, "unsealed", asked.unsealed);
		jout_text(j, "sha256", asked.sha256);
		jout_end_object(j);
	} else
		buf_printf(&ctl->out.text,
			"%" PRId64 " events in %s, %" PRId64 " of them not sealed yet\nsha256 %s\n",
			asked.rows, path, asked.unsealed, asked.sha256);
	return ERR_OK;
}

/* --- prune ----------------------------------------------------------------------------------- */

enum err ctl_cmd_audit_prune(struct ctl *ctl)
{
	const char *month = ctl->args->positionals[0];
	int64_t rows = 0;
	enum err err = custody_archive_prune(ctl->w, &ctl->boot_conf, ctl->c.db, month, &rows);

	if (err)
		return err;
	if (ctl->out.is_json) {
		jout_object(&ctl->out.json, NULL);
		jout_text(&ctl->out.json, "month", month);
		jout_int(&ctl->out.json, "rows", rows);
		jout_end_object(&ctl->out.json);
	} else
		buf_printf(&ctl->out.text, "%s pruned: %" PRId64 " events\n", month, rows);
	return ERR_OK;
}
