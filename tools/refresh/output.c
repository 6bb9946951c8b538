/* What goes to standard output and to the terminal. It decides by what stands behind them. */
#include "refresh/output.h"

#include "base/text.h"
#include "refresh/stop.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define PATIENCE_MS 1000 /* with who reads along */
#define LIST_MAX_BYTES ((size_t)8 * 1024 * 1024)

void refresh_output_begin(struct refresh_output *o, int is_json)
{
	*o = (struct refresh_output){
		.is_json = is_json, .has_lines = !is_json && !isatty(STDOUT_FILENO)};
	o->progress.fd = -1;
	work_begin(&o->w, 0);
	buf_init(&o->list, &o->w, LIST_MAX_BYTES);
	jout_init(&o->json, &o->list);
	jout_array(&o->json, NULL);
	buf_init(&o->warnings, &o->w, LIST_MAX_BYTES);
	jout_init(&o->forecast, &o->warnings);
	if (is_json)
		jout_array(&o->forecast, NULL);
}

void refresh_output_free(struct refresh_output *o)
{
	refresh_output_calm(o);
	work_end(&o->w);
}

void refresh_output_expect(struct refresh_output *o, int64_t total)
{
	refresh_progress_begin(&o->progress, STDERR_FILENO, total);
	refresh_stop_tell(o->progress.fd);
}

void refresh_output_calm(struct refresh_output *o)
{
	refresh_stop_tell(-1);
	refresh_progress_end(&o->progress);
}

/* --- one connection -------------------------------------------------------------------------- */

/* Each line is one write(), so that whoever reads along never sees half of one. */
static void put(struct refresh_output *o, int fd, const char *bytes, size_t n)
{
	while (n && !o->is_lost) {
		/* renewals are on their way: nobody who reads slowly may hold them up for long */
		struct pollfd there = {.fd = fd, .events = POLLOUT};
		ssize_t written = poll(&there, 1, PATIENCE_MS) == 1 ? write(fd, bytes, n) : -1;

		if (written < 0 && !(errno == EINTR && there.revents))
			o->is_lost = 1;
		if (written > 0) {
			bytes += written;
			n -= (size_t)written;
		}
	}
}

static const char *or_dash(const char *text)
{
	return text && *text ? text : "-";
}

size_t refresh_output_line(const struct custody_renewal *renewal, char *line)
{
	return (size_t)snprintf(line, REFRESH_LINE_BYTES,
		"%.64s\t%.64s\t%s\t%.64s\t%.128s\t%" PRId64 "\n", or_dash(renewal->client),
		or_dash(renewal->provider), custody_outcome_name(renewal->outcome),
		or_dash(renewal->cause), or_dash(renewal->code), renewal->generation);
}

static void keep(struct refresh_output *o, const struct custody_renewal *renewal)
{
	struct jout *j = &o->json;

	if (o->listed == REFRESH_LISTED_MAX) {
		o->omitted++;
		return;
	}
	o->listed++;
	jout_object(j, NULL);
	jout_text(j, "clientId", renewal->client);
	jout_text(j, "provider", renewal->provider);
	jout_text(j, "outcome", custody_outcome_name(renewal->outcome));
	jout_text(j, "cause", renewal->cause);
	jout_text(j, "code", renewal->code && *renewal->code ? renewal->code : NULL);
	jout_int(j, "generation", renewal->generation);
	if (renewal->wait_s < 0)
		jout_null(j, "waitSeconds");
	else
		jout_int(j, "waitSeconds", renewal->wait_s);
	jout_end_object(j);
}

void refresh_output_each(void *context, const struct custody_renewal *renewal)
{
	struct refresh_output *o = context;
	char line[REFRESH_LINE_BYTES];

	if (o->has_lines)
		put(o, STDOUT_FILENO, line, refresh_output_line(renewal, line));
	if (o->is_json && renewal->outcome != CUSTODY_RENEWED)
		keep(o, renewal);
	refresh_progress_step(&o->progress, refresh_summary_is_failure(renewal->outcome));
}

/* --- one connection that was checked ---------------------------------------------------------- */

size_t refresh_output_found_line(const struct custody_finding *finding, char *line)
{
	return (size_t)snprintf(line, REFRESH_LINE_BYTES,
		"%.64s\t%.64s\t%s\t%.64s\t%.64s\t%" PRId64 "\t%.16s\t%.16s\t%.16s\n",
		or_dash(finding->client), or_dash(finding->provider),
		custody_found_name(finding->found), or_dash(finding->cause), or_dash(finding->code),
		finding->generation, finding->status, finding->action, finding->owner);
}

static void keep_found(struct refresh_output *o, const struct custody_finding *finding)
{
	struct jout *j = &o->json;

	if (o->listed == REFRESH_LISTED_MAX) {
		o->omitted++;
		return;
	}
	o->listed++;
	jout_object(j, NULL);
	jout_text(j, "clientId", finding->client);
	jout_text(j, "provider", finding->provider);
	jout_text(j, "outcome", custody_found_name(finding->found));
	jout_text(j, "status", finding->status);
	jout_text(j, "cause", finding->cause);
	jout_text(j, "action", finding->action);
	jout_text(j, "owner", finding->owner);
	jout_text(j, "code", *finding->code ? finding->code : NULL);
	jout_int(j, "generation", finding->generation);
	jout_end_object(j);
}

void refresh_output_found(void *context, const struct custody_finding *finding)
{
	struct refresh_output *o = context;
	char line[REFRESH_LINE_BYTES];

	if (o->has_lines)
		put(o, STDOUT_FILENO, line, refresh_output_found_line(finding, line));
	if (o->is_json && !text_equal(finding->status, "healthy"))
		keep_found(o, finding);
	refresh_progress_step(&o->progress, refresh_summary_found_is_failure(finding->found));
}

/* --- what is about to end --------------------------------------------------------------------- */

enum err refresh_output_warn(struct work *w, const struct custody_warning *warning, void *context)
{
	struct refresh_output *o = context;

	(void)w;
	if (o->warned == REFRESH_LISTED_MAX) {
		o->unwarned++;
		return ERR_OK;
	}
	o->warned++;
	if (o->is_json)
		custody_forecast_json(&o->forecast, warning);
	else
		buf_printf(&o->warnings, "%s\t%s\t%s\t%s\t%s\n", or_dash(warning->client),
			warning->provider, warning->what, or_dash(warning->at), warning->text);
	return ERR_OK;
}

/* --- the end --------------------------------------------------------------------------------- */

static enum err end_json(
	struct work *w, struct refresh_output *o, const struct refresh_result *result)
{
	struct ctl_out out;

	ctl_out_begin(&out, w, 1);
	jout_end_array(&o->json);
	jout_object(&out.json, NULL);
	refresh_summary_json(&out.json, result);
	jout_raw(&out.json, "connections", o->list.data);
	jout_int(&out.json, "connectionsOmitted", (int64_t)o->omitted);
	if (result->is_check) {
		jout_end_array(&o->forecast);
		jout_raw(&out.json, "forecast", o->warnings.data);
		jout_int(&out.json, "forecastOmitted", (int64_t)o->unwarned);
	}
	jout_end_object(&out.json);
	o->is_lost |= o->list.overflow | o->warnings.overflow;
	return ctl_out_end(w, &out);
}

/* The table is for a person: on whichever of the two is a terminal, or nowhere. */
static enum err end_table(
	struct work *w, struct refresh_output *o, const struct refresh_result *result)
{
	struct ctl_out out;

	ctl_out_begin(&out, w, 0);
	if (o->has_lines)
		put(o, STDOUT_FILENO, o->warnings.data, o->warnings.len);
	if (isatty(STDOUT_FILENO)) {
		refresh_summary_table(&out, result);
		buf_add(&out.text, o->warnings.data, o->warnings.len);
		return ctl_out_end(w, &out);
	}
	if (isatty(STDERR_FILENO)) {
		refresh_summary_table(&out, result);
		put(o, STDERR_FILENO, out.text.data, out.text.len);
	} else if (result->is_cut_short)
		fputs("vestal-refresh: cut short: the rest is left to the next run\n", stderr);
	return ERR_OK;
}

enum err refresh_output_end(
	struct work *w, struct refresh_output *o, const struct refresh_result *result)
{
	enum err err;

	refresh_output_calm(o);
	err = o->is_json ? end_json(w, o, result) : end_table(w, o, result);
	if (!err && o->is_lost)
		err = work_fail(w, ERR_IO, "standard output could not be written");
	return err;
}
