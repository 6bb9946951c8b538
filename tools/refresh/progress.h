/* The one line that shows a person how far a run is. */
#ifndef VESTAL_REFRESH_PROGRESS_H
#define VESTAL_REFRESH_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

#define REFRESH_LINE_BYTES 512

struct refresh_progress {
	int fd;        /* the terminal; -1: there is none, and nothing is shown */
	int64_t total; /* as many as were known at the start; grows when there are more */
	int64_t done, failed;
	int64_t began_ms, drawn_ms; /* on the monotonic clock; drawn_ms 0: never */
};

/* fd: where to draw; one that is not a terminal counts as -1. */
void refresh_progress_begin(struct refresh_progress *p, int fd, int64_t total);

/* One more is done; draws at most ten times a second. */
void refresh_progress_step(struct refresh_progress *p, int has_failed);

/* Takes the line away. */
void refresh_progress_end(struct refresh_progress *p);

/*
 * The line for a terminal of so many columns, always shorter than that; what does not fit is left
 * out, the least needed first: "[####----] 120/480  12.3/s  0:29 left  2 failed". line has
 * REFRESH_LINE_BYTES. Returns its length.
 */
size_t refresh_progress_line(
	const struct refresh_progress *p, int64_t now_ms, size_t columns, char *line);

#endif
