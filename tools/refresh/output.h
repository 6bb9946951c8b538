/*
 * Where a run tells what it does: a line for each connection into a pipe or file, a progress line
 * on the terminal behind standard error, a table or one JSON document at the end.
 */
#ifndef VESTAL_REFRESH_OUTPUT_H
#define VESTAL_REFRESH_OUTPUT_H

#include "refresh/progress.h"
#include "refresh/summary.h"

#include "custody/check.h"
#include "custody/forecast.h"

#define REFRESH_LISTED_MAX 10000

struct refresh_output {
	struct work w; /* owns what waits for the document */
	int is_json, has_lines, is_lost;
	struct refresh_progress progress;
	struct buf
		list; /* the document's "connections": whoever was not renewed, or is not healthy */
	struct jout json;
	size_t listed, omitted;
	struct buf warnings; /* the document's "forecast", or lines */
	struct jout forecast;
	size_t warned, unwarned; /* unwarned: beyond what is listed */
};

void refresh_output_begin(struct refresh_output *o, int is_json);
void refresh_output_free(struct refresh_output *o);

/* The renewals begin; so many are known. */
void refresh_output_expect(struct refresh_output *o, int64_t total);

/* One connection has ended; context: the struct refresh_output. */
void refresh_output_each(void *context, const struct custody_renewal *renewal);

/* One connection was checked; the same context. */
void refresh_output_found(void *context, const struct custody_finding *finding);

/* One warning of the forecast; the same context. Returns ERR_OK. */
enum err refresh_output_warn(
	struct work *w, const struct custody_warning *warning, void *context) MUST_CHECK;

/* The renewals are over: takes the progress line away. Harmless to repeat. */
void refresh_output_calm(struct refresh_output *o);

/* The end of the run. Returns: ERR_IO when anything that was told did not get through. */
enum err refresh_output_end(
	struct work *w, struct refresh_output *o, const struct refresh_result *result) MUST_CHECK;

/* One connection's line: client, provider, outcome, cause, code, generation, with a tab between;
 * "-" where there is nothing. line has REFRESH_LINE_BYTES. Returns its length. */
size_t refresh_output_line(const struct custody_renewal *renewal, char *line);

/* The same of one that was checked, with status, action and owner behind it. */
size_t refresh_output_found_line(const struct custody_finding *finding, char *line);

#endif
