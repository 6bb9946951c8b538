/* health: what the database knows of every connection; no provider is asked. */
#include "base/text.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "custody/report.h"

#define EXIT_NEEDS_PERSON 2

struct listing {
	struct ctl *ctl;
	struct ctl_table table;
	int64_t total, unhealthy, need_person;
};

/* Only a person can mend these; whatever else is wrong mends itself, or never worked. */
static int needs_person(const struct store_report *report)
{
	return text_equal(report->status, "invalid") || text_equal(report->status, "quarantined") ||
	       text_equal(report->cause, "app_credentials");
}

static enum err show(struct work *w, const struct store_report *report, void *context)
{
	struct listing *listing = context;
	struct ctl_out *out = &listing->ctl->out;
	int is_healthy = text_equal(report->status, "healthy");

	(void)w;
	listing->total++;
	listing->unhealthy += !is_healthy;
	listing->need_person += needs_person(report);
	if (out->is_json) {
		custody_report_json(&out->json, report);
		ctl_out_drain(out);
	} else
		ctl_table_row(&listing->table,
			is_healthy             ? CTL_GOOD
			: needs_person(report) ? CTL_BAD
					       : CTL_DOUBTFUL,
			(const char *const[]){report->client, report->provider, report->status,
				report->cause, report->action, report->owner, report->expires_at,
				report->next_refresh_at});
	return ERR_OK;
}

static void show_end(struct listing *listing)
{
	struct ctl_out *out = &listing->ctl->out;

	if (!out->is_json) {
		ctl_table_end(&listing->table);
		buf_printf(&out->text, "%lld connections, %lld not healthy, %lld need a person\n",
			(long long)listing->total, (long long)listing->unhealthy,
			(long long)listing->need_person);
		return;
	}
	jout_end_array(&out->json);
	jout_int(&out->json, "total", listing->total);
	jout_int(&out->json, "unhealthy", listing->unhealthy);
	jout_int(&out->json, "needPerson", listing->need_person);
	jout_end_object(&out->json);
}

enum err ctl_cmd_health(struct ctl *ctl)
{
	static const char *const heads[] = {"CLIENT", "PROVIDER", "STATUS", "CAUSE", "ACTION",
		"OWNER", "EXPIRES", "NEXT REFRESH", NULL};
	const struct store_report_query all = {.limit = 0};
	struct listing listing = {.ctl = ctl};
	enum err err;

	if (ctl->out.is_json) {
		jout_object(&ctl->out.json, NULL);
		jout_array(&ctl->out.json, "connections");
	} else
		ctl_table_begin(&listing.table, &ctl->out, heads, 2);
	err = store_report_each(ctl->w, ctl->c.db, &all, show, &listing);
	if (!err || !ctl->out.is_json)
		show_end(&listing);
	ctl->exit_code = listing.need_person ? EXIT_NEEDS_PERSON : 0;
	return err;
}
