/*
 * Where a run tells what it does: a line for each connection into a pipe or file, a progress line
 * on the terminal behind standard error, a table or one JSON document at the end.
 */
#ifndef VESTAL_REFRESH_OUTPUT_H
#define VESTAL_REFRESH_OUTPUT_H

#include "refresh/progress.h"
#include "refresh/summary.h"

#define REFRESH_LISTED_MAX 10000

struct refresh_output {
	struct work w; /* owns what waits for the document */
	int is_json, has_lines, is_lost;
	struct refresh_progress progress;
	struct buf list; /* the document's "connections": whoever was not renewed */
	struct jout json;
	size_t listed, omitted;
};

void refresh_output_begin(struct refresh_output *o, int is_json);
void refresh_output_free(struct refresh_output *o);

/* The renewals begin; so many are known. */
void refresh_output_expect(struct refresh_output *o, int64_t total);

/* One connection has ended; context: the struct refresh_output. */
void refresh_output_each(void *context, const struct custody_renewal *renewal);

/* The renewals are over: takes the progress line away. Harmless to repeat. */
void refresh_output_calm(struct refresh_output *o);

/* The end of the run. Returns: ERR_IO when anything that was told did not get through. */
enum err refresh_output_end(
	struct work *w, struct refresh_output *o, const struct refresh_result *result) MUST_CHECK;

/* One connection's line: client, provider, outcome, cause, code, generation, with a tab between;
 * "-" where there is nothing. line has REFRESH_LINE_BYTES. Returns its length. */
size_t refresh_output_line(const struct custody_renewal *renewal, char *line);

#endif
