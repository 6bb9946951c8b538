/*
 * health: what the database knows of every connection, and what ends before long. Providers are
 * asked only by --check, and not by this program: it may read no token, so the refresher does it.
 */
#include "base/clock.h"
#include "base/text.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "custody/forecast.h"
#include "custody/report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_NEEDS_PERSON 2
#define REFRESHER "vestal-refresh"
#define PATH_MAX_BYTES 4096
#define AGE_BYTES 32

struct listing {
	struct ctl *ctl;
	struct ctl_table table;
	int64_t total, unhealthy, need_person, warnings;
};

/* Only a person can mend these; whatever else is wrong mends itself, or never worked. */
static int needs_person(const struct store_report *report)
{
	return text_equal(report->status, "invalid") || text_equal(report->status, "quarantined") ||
	       text_equal(report->cause, "app_credentials");
}

/* "12 min ago": a proof without its age is none. NULL: there never was one. */
static const char *age_of(const char *at, char text[AGE_BYTES])
{
	static const struct {
		int64_t least_s, unit_s;
		const char *unit;
	} units[] = {
		{2 * 86400, 86400, "days"}, {2 * 3600, 3600, "h"}, {60, 60, "min"}, {0, 1, "s"}};
	int64_t at_ms = 0, age_s;
	size_t i = 0;

	if (!at || !clock_read(at, &at_ms))
		return NULL;
	age_s = (clock_wall_ms() - at_ms) / 1000;
	age_s = age_s < 0 ? 0 : age_s;
	while (age_s < units[i].least_s)
		i++;
	snprintf(text, AGE_BYTES, "%" PRId64 " %s ago", age_s / units[i].unit_s, units[i].unit);
	return text;
}

static enum err show(struct work *w, const struct store_report *report, void *context)
{
	struct listing *listing = context;
	struct ctl_out *out = &listing->ctl->out;
	int is_healthy = text_equal(report->status, "healthy");
	char age[AGE_BYTES];

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
				report->cause, report->action, report->owner,
				age_of(report->last_proved_at, age), report->expires_at,
				report->next_refresh_at});
	return ERR_OK;
}

static enum err warn(struct work *w, const struct custody_warning *warning, void *context)
{
	struct listing *listing = context;
	struct ctl_out *out = &listing->ctl->out;

	(void)w;
	listing->warnings++;
	if (out->is_json)
		custody_forecast_json(&out->json, warning);
	else
		buf_printf(&out->text, "%s %s%s%s: %s%s%s\n",
			warning->client ? warning->client : "all clients", warning->provider,
			warning->datacenter && *warning->datacenter ? " " : "",
			warning->datacenter ? warning->datacenter : "", warning->text,
			warning->at ? " " : "", warning->at ? warning->at : "");
	ctl_out_drain(out);
	return ERR_OK;
}

static enum err look_ahead(struct listing *listing)
{
	struct ctl *ctl = listing->ctl;
	enum err err;

	if (ctl->out.is_json) {
		jout_end_array(&ctl->out.json);
		jout_array(&ctl->out.json, "forecast");
	} else
		ctl_table_end(&listing->table);
	err = custody_forecast(ctl->w, &ctl->c, NULL, NULL, warn, listing);
	return err;
}

static void show_end(struct listing *listing)
{
	struct ctl_out *out = &listing->ctl->out;

	if (!out->is_json) {
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

/* --- asking first ---------------------------------------------------------------------------- */

/* The refresher beside this program; nobody's path is searched. */
static enum err find_refresher(struct ctl *ctl, char **path)
{
	char self[PATH_MAX_BYTES];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[n < 0 ? 0 : n] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return work_fail(
			ctl->w, ERR_IO, "/proc/self/exe cannot be read: %s", strerror(errno));
	*slash = '\0';
	*path = work_printf(ctl->w, "%s/" REFRESHER, self);
	return ERR_OK;
}

/* What it tells of single connections is shown by the list; what is wrong, it says itself. */
static void become_refresher(char *path)
{
	char *const words[] = {path, (char[]){"--check"}, NULL};
	int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (nowhere >= 0 && dup2(nowhere, STDIN_FILENO) >= 0 && dup2(nowhere, STDOUT_FILENO) >= 0)
		execv(path, words);
	_exit(EXIT_FAILURE);
}

static enum err check_first(struct ctl *ctl)
{
	char *path = NULL;
	int status = 0;
	pid_t child;
	enum err err = find_refresher(ctl, &path);

	if (err)
		return err;
	child = fork();
	if (child == 0)
		become_refresher(path);
	while (child > 0 && waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			child = -1;
	if (child > 0 && WIFEXITED(status) &&
		(WEXITSTATUS(status) == EXIT_SUCCESS || WEXITSTATUS(status) == EXIT_NEEDS_PERSON))
		return store_db_ready(ctl->w, ctl->c.db);
	return work_fail(ctl->w, ERR_IO, "the check failed: %s --check", path);
}

enum err ctl_cmd_health(struct ctl *ctl)
{
	static const char *const heads[] = {"CLIENT", "PROVIDER", "STATUS", "CAUSE", "ACTION",
		"OWNER", "PROVED", "EXPIRES", "NEXT REFRESH", NULL};
	const struct store_report_query all = {.limit = 0};
	struct listing listing = {.ctl = ctl};
	enum err err = ctl_args_has(ctl->args, CTL_OPT_CHECK) ? check_first(ctl) : ERR_OK;

	if (err)
		return err;
	if (ctl->out.is_json) {
		jout_object(&ctl->out.json, NULL);
		jout_array(&ctl->out.json, "connections");
	} else
		ctl_table_begin(&listing.table, &ctl->out, heads, 2);
	err = store_report_each(ctl->w, ctl->c.db, &all, show, &listing);
	if (!err)
		err = look_ahead(&listing);
	else if (!ctl->out.is_json)
		ctl_table_end(&listing.table);
	if (!err || !ctl->out.is_json)
		show_end(&listing);
	ctl->exit_code = listing.need_person ? EXIT_NEEDS_PERSON : 0;
	return err;
}
