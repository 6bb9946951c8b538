/*
 * token import: tokens that were kept elsewhere. It decides that a file is checked whole before
 * anything of it is tried, and that each entry is then tried and kept by itself; what a trial is,
 * custody/import.h says. No value of the file is ever shown but client and provider.
 */
#include "base/clock.h"
#include "base/text.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "ctl/entries.h"
#include "ctl/value.h"
#include "custody/import.h"
#include "custody/renew.h"
#include "vault/crypto.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ENTRIES_MAX ((size_t)1000000)
#define SHOWN_MAX 50 /* entries with faults */
#define TOKEN_MAX_BYTES ((size_t)16384)
#define LIFE_MAX_S ((int64_t)316224000)
#define SPARE_MS 30000
#define EXIT_REFUSED 2

enum { CLIENT, PROVIDER, REFRESH, ACCESS, EXPIRES_IN, EXPIRES_AT, DATACENTER, SCOPE, PASSIVE };

static const char *const names[] = {"clientId", "provider", "refresh_token", "access_token",
	"expires_in", "expires_at", "datacenter", "scope", "passive", NULL};

/* Which connections were met: the beginnings of their hashes. */
struct met {
	uint64_t *slots;
	size_t size, n;
};

struct run {
	struct ctl *ctl;
	struct ctl_entries *entries;
	struct ctl_table table;
	struct met met;
	size_t read, bad; /* entries, and those with faults */
	size_t imported, refused;
	int is_dry_run;
	struct custody_import_stops stops;
};

/* --- one entry -------------------------------------------------------------------------------- */

static enum err read_secret(
	struct work *own, const struct ctl_entry *entry, int which, struct secret **secret)
{
	const char *value = entry->values[which];

	if (!value)
		return ERR_OK;
	if (strlen(value) > TOKEN_MAX_BYTES)
		return work_fail_field(own, names[which], "is longer than any token");
	*secret = secret_new(own, value, strlen(value));
	return *secret ? ERR_OK : ERR_NO_MEMORY;
}

static void read_life(
	struct work *own, const struct ctl_entry *entry, struct custody_import *import)
{
	const char *in = entry->values[EXPIRES_IN], *at = entry->values[EXPIRES_AT];
	int64_t at_s = 0;

	if (in && at)
		(void)work_fail_field(own, names[EXPIRES_AT], "says the same as expires_in");
	else if (in && !text_to_int(in, 1, LIFE_MAX_S, &import->expires_in_s))
		(void)work_fail_field(own, names[EXPIRES_IN],
			"is not a whole number of seconds from 1 to %" PRId64, LIFE_MAX_S);
	else if (at && ctl_value_time_fault(at, &at_s))
		(void)work_fail_field(own, names[EXPIRES_AT], "is no time as RFC 3339 writes it");
	else if (at) { /* one that has passed is the provider's to refuse */
		import->expires_in_s = at_s - clock_wall_ms() / 1000;
		if (import->expires_in_s < 1)
			import->expires_in_s = 1;
	}
}

static void read_passive(
	struct work *own, const struct ctl_entry *entry, struct custody_import *import)
{
	const char *value = entry->values[PASSIVE];

	if (value)
		import->is_passive = text_equal(value, "true");
	if (value && !import->is_passive && !text_equal(value, "false"))
		(void)work_fail_field(own, names[PASSIVE], "is neither true nor false");
}

/* Every fault is recorded with its field. */
static enum err read_entry(
	struct run *r, struct work *own, struct ctl_entry *entry, struct custody_import *import)
{
	const struct ctl_args *args = r->ctl->args;
	enum err err = ctl_entries_next(own, r->entries, entry);

	if (err)
		return err;
	*import = (struct custody_import){.client = entry->values[CLIENT],
		.provider = entry->values[PROVIDER],
		.datacenter = entry->values[DATACENTER],
		.scope = entry->values[SCOPE],
		.is_passive = !ctl_args_has(args, CTL_OPT_ACTIVE),
		.may_create = ctl_args_has(args, CTL_OPT_CREATE),
		.is_dry_run = r->is_dry_run,
		.stops = &r->stops};
	err = read_secret(own, entry, REFRESH, &import->refresh);
	if (err != ERR_NO_MEMORY)
		err = read_secret(own, entry, ACCESS, &import->access);
	if (err == ERR_NO_MEMORY)
		return err;
	read_life(own, entry, import);
	read_passive(own, entry, import);
	return custody_import_check(own, &r->ctl->c, import);
}

static void begin_own(const struct run *r, struct work *own)
{
	work_begin(own, 2000 * conf_number(&r->ctl->conf, CONF_provider_timeout_s) + SPARE_MS);
	own->origin = r->ctl->w->origin;
}

/* --- checking all ----------------------------------------------------------------------------- */

static void add(struct met *met, uint64_t hash)
{
	size_t at = (size_t)hash & (met->size - 1);

	while (met->slots[at])
		at = (at + 1) & (met->size - 1);
	met->slots[at] = hash;
	met->n++;
}

static int holds(const struct met *met, uint64_t hash)
{
	size_t at = (size_t)hash & (met->size - 1);

	while (met->slots[at] && met->slots[at] != hash)
		at = (at + 1) & (met->size - 1);
	return met->slots[at] != 0;
}

static void grow(struct work *w, struct met *met)
{
	const struct met old = *met;

	met->size = old.size ? old.size * 2 : 1024;
	met->n = 0;
	met->slots = work_alloc(w, met->size * sizeof(*met->slots));
	memset(met->slots, 0, met->size * sizeof(*met->slots));
	for (size_t i = 0; i < old.size; i++)
		if (old.slots[i])
			add(met, old.slots[i]);
}

/* Of two entries for one connection only one could stay. */
static enum err check_repeated(struct run *r, struct work *own, const struct custody_import *import)
{
	const char *text = work_printf(own, "%s %s", import->client, import->provider);
	unsigned char digest[32];
	uint64_t hash;
	enum err err = vault_crypto_sha256(text, strlen(text), digest);

	if (err)
		return err;
	memcpy(&hash, digest, sizeof(hash));
	hash |= 1;
	if (r->met.n * 2 >= r->met.size)
		grow(r->ctl->w, &r->met);
	if (holds(&r->met, hash))
		return work_fail_field(
			own, names[CLIENT], "has an entry for this provider in the file already");
	add(&r->met, hash);
	return ERR_OK;
}

static void tell_faults(struct run *r, const struct work *own, int64_t line)
{
	if (++r->bad > SHOWN_MAX)
		return;
	for (size_t i = 0; i < own->fault_count; i++)
		ctl_note("line %" PRId64 ": %s %s", line, own->faults[i].field,
			own->faults[i].reason);
}

static enum err check_one(struct run *r)
{
	struct custody_import import;
	struct ctl_entry entry;
	struct work own;
	enum err err;

	begin_own(r, &own);
	err = read_entry(r, &own, &entry, &import);
	if (!err)
		err = check_repeated(r, &own, &import);
	r->read += err != ERR_NOT_FOUND;
	if (err == ERR_INPUT) {
		tell_faults(r, &own, entry.line);
		err = ERR_OK;
	} else if (err == ERR_CONFIG)
		err = work_fail(r->ctl->w, ERR_INPUT, "%s; nothing was imported", own.detail);
	else if (err && own.detail)
		(void)work_fail(r->ctl->w, err, "%s", own.detail);
	work_end(&own);
	return err;
}

static enum err check_all(struct run *r)
{
	enum err err = ERR_OK;

	while (!err && r->read < ENTRIES_MAX)
		err = check_one(r);
	if (!err)
		return work_fail(r->ctl->w, ERR_INPUT,
			"there are more than %zu entries; nothing was imported", ENTRIES_MAX);
	if (err != ERR_NOT_FOUND)
		return err;
	if (r->bad)
		return work_fail(r->ctl->w, ERR_INPUT,
			"%zu of %zu entries cannot be imported as they are; nothing was imported",
			r->bad, r->read);
	return ERR_OK;
}

/* --- importing all ---------------------------------------------------------------------------- */

static int ends_all(enum err err)
{
	return err == ERR_DB_AWAY || err == ERR_DB_TIMEOUT || err == ERR_SCHEMA_MISMATCH ||
	       err == ERR_DB || err == ERR_KEY_UNKNOWN || err == ERR_IO || err == ERR_BUG ||
	       err == ERR_NO_MEMORY;
}

struct report_line {
	int64_t line;
	const char *result, *cause, *detail;
	const struct custody_import *import;
};

static void tell_json(struct jout *j, const struct report_line *told)
{
	const struct custody_import *import = told->import;

	jout_object(j, NULL);
	jout_int(j, "line", told->line);
	jout_text(j, "clientId", import->client);
	jout_text(j, "provider", import->provider);
	jout_text(j, "result", told->result);
	jout_text(j, "cause", told->cause);
	jout_text(j, "detail", told->detail);
	jout_bool(j, "passive", import->is_passive);
	jout_text(j, "status", import->status);
	if (import->generation)
		jout_int(j, "generation", import->generation);
	else
		jout_null(j, "generation");
	jout_end_object(j);
}

static void tell_row(struct ctl_table *table, const struct report_line *told)
{
	const struct custody_import *import = told->import;
	char line[24], generation[24];

	snprintf(line, sizeof(line), "%" PRId64, told->line);
	snprintf(generation, sizeof(generation), "%" PRId64, import->generation);
	ctl_table_row(table, told->cause ? CTL_BAD : CTL_GOOD,
		(const char *const[]){line, import->client, import->provider, told->result,
			told->cause, import->generation ? generation : NULL,
			import->is_passive ? "yes" : "no", told->detail});
}

static void tell(struct run *r, struct work *own, int64_t line, const struct custody_import *import,
	enum err err)
{
	const char *fault = own->fault_count ? work_printf(own, "%s %s", own->faults[0].field,
						       own->faults[0].reason)
					     : err_title(err);
	const struct report_line told = {.line = line,
		.result = err             ? "refused"
			  : r->is_dry_run ? "proved"
					  : "imported",
		.cause = !err              ? NULL
			 : import->finding ? import->finding
					   : err_slug(err),
		.detail = !err          ? NULL
			  : own->detail ? own->detail
					: fault,
		.import = import};

	if (r->ctl->out.is_json)
		tell_json(&r->ctl->out.json, &told);
	else
		tell_row(&r->table, &told);
	ctl_out_drain(&r->ctl->out);
}

static enum err import_one(struct run *r)
{
	struct custody_import import = {.client = NULL};
	struct ctl_entry entry;
	struct work own;
	enum err err;

	begin_own(r, &own);
	err = read_entry(r, &own, &entry, &import);
	if (!err)
		err = custody_import(&own, &r->ctl->c, &import);
	if (ends_all(err))
		(void)work_fail(r->ctl->w, err, "line %" PRId64 ": %s", entry.line,
			own.detail  ? own.detail
			: own.cause ? own.cause
				    : err_title(err));
	else if (err != ERR_NOT_FOUND) {
		*(err ? &r->refused : &r->imported) += 1;
		tell(r, &own, entry.line, &import, err);
		err = ERR_OK;
	}
	work_end(&own);
	return err;
}

static void begin_report(struct run *r)
{
	static const char *const heads[] = {"LINE", "CLIENT", "PROVIDER", "RESULT", "CAUSE",
		"GENERATION", "PASSIVE", "MEANING", NULL};
	struct ctl_out *out = &r->ctl->out;

	if (!out->is_json) {
		ctl_table_begin(&r->table, out, heads, 3);
		return;
	}
	jout_object(&out->json, NULL);
	jout_array(&out->json, "entries");
}

static void end_report(struct run *r, enum err err)
{
	struct ctl_out *out = &r->ctl->out;

	if (!out->is_json) {
		ctl_table_end(&r->table);
		buf_printf(&out->text, "%zu %s, %zu refused%s\n", r->imported,
			r->is_dry_run ? "proved, nothing stored" : "imported", r->refused,
			err ? "; the rest was not tried" : "");
		return;
	}
	jout_end_array(&out->json);
	jout_bool(&out->json, "dryRun", r->is_dry_run);
	jout_int(&out->json, r->is_dry_run ? "proved" : "imported", (int64_t)r->imported);
	jout_int(&out->json, "refused", (int64_t)r->refused);
	jout_int(&out->json, "notTried", (int64_t)(r->read - r->imported - r->refused));
	jout_text(&out->json, "error", err ? err_slug(err) : NULL);
	jout_end_object(&out->json);
}

static enum err import_all(struct run *r)
{
	struct ctl *ctl = r->ctl;
	enum err err = ctl_entries_rewind(ctl->w, r->entries), lost;

	if (err)
		return err;
	begin_report(r);
	while (!err)
		err = import_one(r);
	if (err == ERR_NOT_FOUND)
		err = ERR_OK;
	end_report(r, err);
	if (r->refused)
		ctl->exit_code = EXIT_REFUSED;
	if (!err)
		return ERR_OK;
	lost = ctl_out_end(ctl->w, &ctl->out); /* nobody else does, behind a fault */
	return lost ? lost : err;
}

enum err ctl_cmd_import(struct ctl *ctl)
{
	struct run r = {.ctl = ctl, .is_dry_run = ctl_args_has(ctl->args, CTL_OPT_DRY_RUN)};
	enum err err = ctl_entries_open(
		ctl->w, ctl->input, ctl_args_text(ctl->args, CTL_OPT_FILE), names, &r.entries);

	if (!err)
		err = check_all(&r);
	if (err)
		return err;
	/* a spool of its own, for answers that replace the token they cost */
	ctl->c.renewer = custody_renewer_new(&ctl->c, 1);
	err = ctl->c.renewer ? import_all(&r) : ERR_NO_MEMORY;
	custody_renewer_free(ctl->c.renewer);
	ctl->c.renewer = NULL;
	return err;
}
