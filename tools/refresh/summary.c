/* The end of a run. It decides which words and numbers tell it; where they go, the caller does. */
#include "refresh/summary.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>

#define COUNTS_MAX_BYTES 4096

struct outcome_row {
	const char *meaning;
	enum ctl_tone tone;
	int is_failure;
};

static const struct outcome_row outcomes[CUSTODY_OUTCOME_COUNT] = {
	[CUSTODY_RENEWED] = {"a new token is stored", CTL_GOOD, 0},
	[CUSTODY_DEFERRED] = {"not asked: a pause, a quota, the provider's patience", CTL_PLAIN, 0},
	[CUSTODY_RETRY] = {"asked in vain; the next try is planned", CTL_DOUBTFUL, 1},
	[CUSTODY_REFUSED] = {"refused once; it counts when it is confirmed", CTL_DOUBTFUL, 1},
	[CUSTODY_DEAD] = {"the grant is gone: authorize again", CTL_BAD, 1},
	[CUSTODY_AMBIGUOUS] = {"the answer was lost; the next run settles it", CTL_BAD, 1},
	[CUSTODY_APP] = {"the app's credentials are refused", CTL_BAD, 1},
	[CUSTODY_UNREADABLE] = {"what is stored does not open", CTL_BAD, 1},
	[CUSTODY_SUPERSEDED] = {"something newer came meanwhile, and stays", CTL_PLAIN, 0},
	[CUSTODY_BUSY] = {"somebody else is at it", CTL_PLAIN, 0},
	[CUSTODY_NOT_NEEDED] = {"a newer token is there already", CTL_PLAIN, 0},
};

static const struct outcome_row founds[CUSTODY_FOUND_COUNT] = {
	[CUSTODY_FOUND_PROVED] = {"the provider takes the token", CTL_GOOD, 0},
	[CUSTODY_FOUND_RENEWED] = {"was dead, is renewed and proved", CTL_GOOD, 0},
	[CUSTODY_FOUND_SCOPE] = {"lives, and may not do all: ask the tenant", CTL_DOUBTFUL, 0},
	[CUSTODY_FOUND_THROTTLED] = {"the provider asks for patience; nothing new is known",
		CTL_PLAIN, 0},
	[CUSTODY_FOUND_UNANSWERED] = {"the provider gave no answer that could be used",
		CTL_DOUBTFUL, 1},
	[CUSTODY_FOUND_SHUT] = {"not asked: the provider or the app is in trouble", CTL_DOUBTFUL,
		1},
	[CUSTODY_FOUND_FAULT] = {"what is asked, or how, is wrong: look into it", CTL_BAD, 1},
	[CUSTODY_FOUND_APP] = {"the app's credentials are refused", CTL_BAD, 1},
	[CUSTODY_FOUND_REFUSED] = {"dead, and not renewed yet", CTL_BAD, 1},
	[CUSTODY_FOUND_DEAD] = {"dead, and nothing can renew it: authorize again", CTL_BAD, 1},
	[CUSTODY_FOUND_UNREADABLE] = {"what is stored does not open", CTL_BAD, 1},
	[CUSTODY_FOUND_EXPIRED] = {"not asked: its renewal is due", CTL_DOUBTFUL, 0},
	[CUSTODY_FOUND_BY_ROW] = {"not asked: no token, no grant or no probe", CTL_PLAIN, 0},
};

enum ctl_tone refresh_summary_found_tone(enum custody_found found)
{
	return founds[found].tone;
}

int refresh_summary_found_is_failure(enum custody_found found)
{
	return founds[found].is_failure;
}

int refresh_summary_exit_code(enum err err, const struct store_need *need)
{
	if (err)
		return err == ERR_USAGE ? err_exit_code(err) : 1;
	return need->total > 0 ? REFRESH_EXIT_NEED_PERSON : 0;
}

enum ctl_tone refresh_summary_tone(enum custody_outcome outcome)
{
	return outcomes[outcome].tone;
}

int refresh_summary_is_failure(enum custody_outcome outcome)
{
	return outcomes[outcome].is_failure;
}

/* --- the table ------------------------------------------------------------------------------- */

static void row(struct ctl_table *table, enum ctl_tone tone, const char *what, int64_t n,
	const char *meaning)
{
	char number[24];

	snprintf(number, sizeof(number), "%" PRId64, n);
	ctl_table_row(table, n ? tone : CTL_PLAIN, (const char *const[]){what, number, meaning});
}

static const char *need_words(struct work *w, const struct store_need *need)
{
	if (!need->total)
		return "nothing is wrong that does not mend itself";
	return work_printf(w,
		"%" PRId64 " to authorize again, %" PRId64 " with a bad app, %" PRId64
		" to look into; see vestalctl health",
		need->reauthorize, need->fix_app, need->investigate);
}

static void recovered_rows(struct ctl_table *table, const struct custody_recovered *recovered)
{
	row(table, CTL_GOOD, "recovered", (int64_t)recovered->stored,
		"answers that earlier runs had left in the spool");
	if (recovered->ambiguous)
		row(table, CTL_BAD, "answers lost", (int64_t)recovered->ambiguous,
			"with the process that had asked");
	if (recovered->left)
		row(table, CTL_DOUBTFUL, "left in spool", (int64_t)recovered->left,
			"could not be settled now");
}

/* Rare enough to be told only where there is something to tell. */
static void revoked_rows(struct ctl_table *table, const struct custody_revoked *revoked)
{
	if (revoked->accepted + revoked->gone)
		row(table, CTL_GOOD, "revoked", (int64_t)(revoked->accepted + revoked->gone),
			"removed tokens that have ended at their provider");
	if (revoked->unconfirmed)
		row(table, CTL_DOUBTFUL, "not confirmed", (int64_t)revoked->unconfirmed,
			"removed tokens that the provider may still take");
	if (revoked->pending)
		row(table, CTL_DOUBTFUL, "to be revoked", (int64_t)revoked->pending,
			"removed tokens whose provider could not be asked");
}

void refresh_summary_table(struct ctl_out *out, const struct refresh_result *result)
{
	static const char *const heads[] = {"OUTCOME", "CONNECTIONS", "MEANING", NULL};
	struct work *w = out->text.w;
	struct ctl_table table;

	ctl_table_begin(&table, out, heads, 1);
	for (int i = 0; result->is_check && i < CUSTODY_FOUND_COUNT; i++)
		row(&table, founds[i].tone, custody_found_name((enum custody_found)i),
			(int64_t)result->found[i], founds[i].meaning);
	for (int i = 0; !result->is_check && i < CUSTODY_OUTCOME_COUNT; i++)
		if (i != CUSTODY_NOT_NEEDED || result->counts[i])
			row(&table, outcomes[i].tone, custody_outcome_name((enum custody_outcome)i),
				(int64_t)result->counts[i], outcomes[i].meaning);
	if (result->is_check)
		row(&table, CTL_DOUBTFUL, "not healthy", result->unhealthy,
			"of those that were checked; see vestalctl health");
	else
		row(&table, CTL_DOUBTFUL, "stores behind", (int64_t)result->behind,
			"copies and environment files that the next run mends");
	recovered_rows(&table, &result->recovered);
	revoked_rows(&table, &result->revoked);
	if (result->is_need_known)
		row(&table, CTL_BAD, "needs a person", result->need.total,
			need_words(w, &result->need));
	ctl_table_end(&table);
	buf_printf(&out->text, "%s run %" PRId64 ", %.1f s%s\n", result->mode, result->id,
		(double)(result->ended_ms - result->began_ms) / 1000,
		result->is_cut_short ? "; cut short: the rest is left to the next run" : "");
}

/* --- JSON ------------------------------------------------------------------------------------ */

static void put_counts(struct jout *j, const struct refresh_result *result)
{
	for (int i = 0; result->is_check && i < CUSTODY_FOUND_COUNT; i++)
		jout_int(j, custody_found_name((enum custody_found)i), (int64_t)result->found[i]);
	for (int i = 0; !result->is_check && i < CUSTODY_OUTCOME_COUNT; i++)
		jout_int(j, custody_outcome_name((enum custody_outcome)i),
			(int64_t)result->counts[i]);
}

static void put_rest(struct jout *j, const struct refresh_result *result)
{
	const struct custody_recovered *recovered = &result->recovered;

	refresh_summary_need(j, result->is_need_known ? &result->need : NULL);
	jout_object(j, "recovered");
	jout_int(j, "spools", (int64_t)recovered->spools);
	jout_int(j, "stored", (int64_t)recovered->stored);
	jout_int(j, "ambiguous", (int64_t)recovered->ambiguous);
	jout_int(j, "released", (int64_t)recovered->released);
	jout_int(j, "left", (int64_t)recovered->left);
	jout_end_object(j);
	jout_object(j, "revocations");
	jout_int(j, "accepted", (int64_t)result->revoked.accepted);
	jout_int(j, "gone", (int64_t)result->revoked.gone);
	jout_int(j, "unconfirmed", (int64_t)result->revoked.unconfirmed);
	jout_int(j, "pending", (int64_t)result->revoked.pending);
	jout_end_object(j);
	jout_int(j, "renewalMs", result->renewal_ms);
	jout_object(j, "stores");
	jout_int(j, "distributed", (int64_t)result->distributed);
	jout_int(j, "behind", (int64_t)result->behind);
	jout_end_object(j);
	jout_bool(j, "cutShort", result->is_cut_short);
}

static void put_due(struct jout *j, const struct refresh_result *result)
{
	if (result->is_check) {
		jout_int(j, "checked", result->checked);
		jout_int(j, "unhealthy", result->unhealthy);
		jout_int(j, "remaining", result->remaining);
		return;
	}
	if (result->due < 0)
		jout_null(j, "due");
	else
		jout_int(j, "due", result->due);
}

void refresh_summary_need(struct jout *j, const struct store_need *need)
{
	if (!need) {
		jout_null(j, "needPerson");
		return;
	}
	jout_object(j, "needPerson");
	jout_int(j, "total", need->total);
	jout_int(j, "reauthorize", need->reauthorize);
	jout_int(j, "fixApp", need->fix_app);
	jout_int(j, "investigate", need->investigate);
	jout_end_object(j);
}

void refresh_summary_json(struct jout *j, const struct refresh_result *result)
{
	char began[CLOCK_TEXT_BYTES], ended[CLOCK_TEXT_BYTES];

	jout_int(j, "runId", result->id);
	jout_text(j, "mode", result->mode);
	jout_bool(j, "dryRun", 0);
	jout_text(j, "host", result->host);
	jout_text(j, "startedAt", clock_text(result->began_ms, began));
	jout_text(j, "endedAt", clock_text(result->ended_ms, ended));
	jout_int(j, "exitCode", refresh_summary_exit_code(result->err, &result->need));
	jout_text(j, "error", result->err ? err_slug(result->err) : NULL);
	put_due(j, result);
	jout_object(j, "counts");
	put_counts(j, result);
	jout_end_object(j);
	put_rest(j, result);
}

const char *refresh_summary_counts(struct work *w, const struct refresh_result *result)
{
	struct buf text;
	struct jout j;

	buf_init(&text, w, COUNTS_MAX_BYTES);
	jout_init(&j, &text);
	jout_object(&j, NULL);
	put_due(&j, result);
	put_counts(&j, result);
	put_rest(&j, result);
	jout_end_object(&j);
	return text.data;
}
