/* --dry-run. It decides how a plan is told; what the plan is, the database says. */
#include "refresh/plan.h"

#include "base/text.h"
#include "custody/check.h"
#include "refresh/summary.h"

#include <inttypes.h>
#include <stdio.h>

enum what { RENEW, SETTLE, PROBE, LEAVE, WAIT, WHAT_COUNT };

static const struct {
	const char *name;
	enum ctl_tone tone;
} whats[] = {[RENEW] = {"renew", CTL_GOOD},
	[SETTLE] = {"settle", CTL_DOUBTFUL},
	[PROBE] = {"probe", CTL_GOOD},
	[LEAVE] = {"leave", CTL_PLAIN},
	[WAIT] = {"wait", CTL_DOUBTFUL}};

static const struct {
	const char *why, *reason;
} reasons[] = {
	{"due", "its time has come"},
	{"all", "all are asked for"},
	{"leased", "somebody is at it"},
	{"app_gate", "the app's credentials were refused"},
	{"provider_gate", "the provider is in trouble"},
	{"backoff", "the last try failed"},
	{"gate", "the provider or the app was in trouble"},
	{"quota", "its quota is used up for now"},
	{"rate", "the provider asked for patience"},
	{"refusal", "refused once, to be confirmed"},
	{"check", "its token is proved"},
	{"no_token", "there is nothing to prove"},
	{"no_probe", "its definition names no way to prove a token"},
	{"expired", "its renewal is due, or nobody's here"},
	{"invalid", "its grant is gone: authorize it again"},
	{"quarantined", "it is in doubt until a renewal settles it"},
	{"definition_missing", "its provider's definition is gone"},
};

struct showing {
	struct ctl_out out;
	struct ctl_table table;
	int64_t counts[WHAT_COUNT];
	enum err err; /* of a row that could not be shown */
	int is_check;
};

const char *refresh_plan_reason(const char *why)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
		if (text_equal(reasons[i].why, why))
			return reasons[i].reason;
	return "";
}

/* --- rows ------------------------------------------------------------------------------------ */

static void put_seconds(struct jout *j, const char *key, int64_t seconds)
{
	if (seconds < 0)
		jout_null(j, key);
	else
		jout_int(j, key, seconds);
}

static void show_json(struct jout *j, const struct store_plan *plan)
{
	jout_object(j, NULL);
	jout_text(j, "clientId", plan->client);
	jout_text(j, "provider", plan->provider);
	jout_text(j, "would", plan->what);
	jout_text(j, "why", plan->why);
	put_seconds(j, "overdueSeconds", plan->overdue_s);
	put_seconds(j, "waitSeconds", plan->wait_s);
	jout_text(j, "cause", plan->cause);
	jout_end_object(j);
}

static const char *seconds_text(char text[24], int64_t seconds)
{
	snprintf(text, 24, "%" PRId64 " s", seconds);
	return seconds > 0 ? text : NULL;
}

static void show_row(struct ctl_table *table, const struct store_plan *plan, enum what what)
{
	char overdue[24], wait[24];

	ctl_table_row(table, whats[what].tone,
		(const char *const[]){plan->client, plan->provider, plan->what, plan->why,
			seconds_text(overdue, plan->overdue_s), seconds_text(wait, plan->wait_s),
			plan->cause, refresh_plan_reason(plan->why)});
}

static enum err show(struct work *w, const struct store_plan *plan, void *context)
{
	struct showing *s = context;
	enum what what = RENEW;

	while (what < WHAT_COUNT && !text_equal(whats[what].name, plan->what))
		what++;
	if (what == WHAT_COUNT)
		return work_cause(w, ERR_BUG, "a plan of an unknown kind");
	s->counts[what]++;
	if (s->out.is_json) {
		show_json(&s->out.json, plan);
		ctl_out_drain(&s->out);
	} else
		show_row(&s->table, plan, what);
	return ERR_OK;
}

/* --- what a check would do ----------------------------------------------------------------------
 */

static void show_found(void *context, const struct custody_finding *finding)
{
	struct showing *s = context;
	const int is_shut = finding->found == CUSTODY_FOUND_SHUT;
	const struct store_plan plan = {.client = finding->client,
		.provider = finding->provider,
		.what = whats[finding->would_ask ? PROBE
			      : is_shut          ? WAIT
						 : LEAVE]
				.name,
		.why = finding->would_ask ? "check" : finding->code,
		.wait_s = -1,
		.cause = finding->cause};

	if (!s->err)
		s->err = show(s->out.text.w, &plan, s);
}

static enum err plan_check(struct work *w, const struct custody *c,
	const struct store_renewal_filter *filter, struct showing *s)
{
	struct custody_check check = {
		.scope = {.clients = filter->client ? &filter->client : NULL,
			.client_count = filter->client != NULL,
			.providers = filter->provider ? &filter->provider : NULL,
			.provider_count = filter->provider != NULL},
		.concurrency = 1,
		.most = CUSTODY_CHECK_ALL,
		.deadline_ms = INT64_MAX,
		.is_dry = 1,
		.each = show_found,
		.context = s,
	};
	enum err err = custody_check(w, c, &check);

	return err ? err : s->err;
}

/* --- beginning and end ----------------------------------------------------------------------- */

static void begin(struct showing *s, struct work *w, const struct refresh_options *options)
{
	static const char *const heads[] = {
		"CLIENT", "PROVIDER", "WOULD", "WHY", "OVERDUE", "WAIT", "CAUSE", "MEANING", NULL};

	ctl_out_begin(&s->out, w, options->is_json);
	if (!options->is_json) {
		ctl_table_begin(&s->table, &s->out, heads, 2);
		return;
	}
	jout_object(&s->out.json, NULL);
	jout_text(&s->out.json, "mode", refresh_mode_name(options->mode));
	jout_bool(&s->out.json, "dryRun", 1);
	jout_array(&s->out.json, "connections");
}

static void end(struct showing *s, const struct store_need *need, int exit_code)
{
	struct jout *j = &s->out.json;

	if (!s->out.is_json) {
		ctl_table_end(&s->table);
		if (s->is_check) {
			buf_printf(&s->out.text,
				"%" PRId64 " would be proved, %" PRId64 " left, %" PRId64
				" would wait; %" PRId64 " need a person\n",
				s->counts[PROBE], s->counts[LEAVE], s->counts[WAIT], need->total);
			return;
		}
		buf_printf(&s->out.text,
			"%" PRId64 " would be renewed, %" PRId64 " settled, %" PRId64
			" would wait; %" PRId64 " need a person\n",
			s->counts[RENEW], s->counts[SETTLE], s->counts[WAIT], need->total);
		return;
	}
	jout_end_array(j);
	jout_object(j, "counts");
	for (int i = 0; i < WHAT_COUNT; i++)
		if (s->is_check ? i >= PROBE : i != PROBE && i != LEAVE)
			jout_int(j, whats[i].name, s->counts[i]);
	jout_end_object(j);
	refresh_summary_need(j, need);
	jout_int(j, "exitCode", exit_code);
	jout_end_object(j);
}

enum err refresh_plan(struct work *w, const struct custody *c,
	const struct refresh_options *options, int *exit_code)
{
	const struct store_renewal_filter filter = {options->client, options->provider};
	struct store_need need = {0};
	struct showing s = {.counts = {0}};
	enum err err = store_report_need_person(w, c->db, filter.client, filter.provider, &need);

	if (err)
		return err;
	begin(&s, w, options);
	s.is_check = options->mode == REFRESH_CHECK;
	err = s.is_check ? plan_check(w, c, &filter, &s)
			 : store_renewal_plan(
				   w, c->db, &filter, options->mode == REFRESH_ALL, show, &s);
	*exit_code = refresh_summary_exit_code(err, &need);
	if (err && !s.out.is_json)
		ctl_table_end(&s.table);
	if (err)
		return err;
	end(&s, &need, *exit_code);
	return ctl_out_end(w, &s.out);
}
