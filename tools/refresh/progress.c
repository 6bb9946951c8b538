/* The progress line. It decides what is worth a column, and how often a terminal is bothered. */
#include "refresh/progress.h"

#include "base/clock.h"
#include "base/text.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DRAW_MS 100
#define RATE_AFTER_MS 1000 /* before that a rate is a guess */
#define COLUMNS_UNKNOWN 80
#define BAR_LEAST 10
#define BAR_MOST 40
#define PART_BYTES 64

/* What stands right of the bar, by how much it is needed. */
enum part { COUNT, FAILED, LEFT, RATE, PART_COUNT };
static const enum part shown_order[] = {COUNT, RATE, LEFT, FAILED};

/* --- the line -------------------------------------------------------------------------------- */

static void print_left(char *text, int64_t seconds)
{
	if (seconds >= 3600)
		snprintf(text, PART_BYTES, "  %" PRId64 ":%02d:%02d left", seconds / 3600,
			(int)(seconds / 60 % 60), (int)(seconds % 60));
	else
		snprintf(text, PART_BYTES, "  %d:%02d left", (int)(seconds / 60),
			(int)(seconds % 60));
}

static void print_parts(
	const struct refresh_progress *p, int64_t now_ms, char parts[PART_COUNT][PART_BYTES])
{
	int64_t ms = now_ms - p->began_ms;
	double rate = ms >= RATE_AFTER_MS ? (double)p->done * 1000.0 / (double)ms : 0;

	memset(parts, 0, PART_COUNT * sizeof(*parts));
	snprintf(parts[COUNT], PART_BYTES, "%" PRId64 "/%" PRId64, p->done, p->total);
	if (p->failed)
		snprintf(parts[FAILED], PART_BYTES, "  %" PRId64 " failed", p->failed);
	if (rate > 0) {
		snprintf(parts[RATE], PART_BYTES, "  %.*f/s", rate < 100 ? 1 : 0, rate);
		print_left(parts[LEFT], (int64_t)((double)(p->total - p->done) / rate + 0.5));
	}
}

/* How many parts, counted from the most needed, fit into so many columns; *width: theirs. */
static int fitting(char parts[PART_COUNT][PART_BYTES], size_t columns, size_t *width)
{
	int n = 0;

	*width = 0;
	while (n < PART_COUNT && *width + strlen(parts[n]) <= columns)
		*width += strlen(parts[n++]);
	return n;
}

static size_t print_bar(const struct refresh_progress *p, size_t columns, char *line)
{
	const size_t frame = strlen("[] ");
	size_t cells = columns < frame + BAR_LEAST ? 0 : columns - frame, full;

	if (!cells)
		return 0;
	if (cells > BAR_MOST)
		cells = BAR_MOST;
	full = p->total > 0 ? (size_t)((double)cells * (double)p->done / (double)p->total) : cells;
	line[0] = '[';
	memset(line + 1, '#', full);
	memset(line + 1 + full, '-', cells - full);
	memcpy(line + 1 + cells, "] ", 3);
	return cells + frame;
}

size_t refresh_progress_line(
	const struct refresh_progress *p, int64_t now_ms, size_t columns, char *line)
{
	char parts[PART_COUNT][PART_BYTES];
	size_t room = columns ? columns - 1 : 0, width, at;
	int fit;

	if (room >= REFRESH_LINE_BYTES)
		room = REFRESH_LINE_BYTES - 1;
	print_parts(p, now_ms, parts);
	fit = fitting(parts, room, &width);
	at = print_bar(p, room - width, line);
	line[at] = '\0';
	for (size_t i = 0; i < PART_COUNT; i++)
		if ((int)shown_order[i] < fit)
			at += (size_t)snprintf(
				line + at, REFRESH_LINE_BYTES - at, "%s", parts[shown_order[i]]);
	return at;
}

/* --- the terminal ---------------------------------------------------------------------------- */

static void put(const struct refresh_progress *p, const char *bytes, size_t n)
{
	struct pollfd there = {.fd = p->fd, .events = POLLOUT};
	/* a terminal that was stopped holds up nothing; a line that is lost is drawn anew in a
	 * moment */
	ssize_t written = poll(&there, 1, 0) == 1 ? write(p->fd, bytes, n) : -1;

	(void)written;
}

static size_t columns_of(int fd)
{
	struct winsize size;

	return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : COLUMNS_UNKNOWN;
}

static void draw(struct refresh_progress *p, int64_t now_ms)
{
	char line[REFRESH_LINE_BYTES], text[REFRESH_LINE_BYTES + 8];
	int n;

	refresh_progress_line(p, now_ms, columns_of(p->fd), line);
	n = snprintf(text, sizeof(text), "\r%s\033[K", line);
	put(p, text, (size_t)n);
	p->drawn_ms = now_ms;
}

void refresh_progress_begin(struct refresh_progress *p, int fd, int64_t total)
{
	const char *terminal = getenv("TERM");
	int can_draw = isatty(fd) && terminal && !text_equal(terminal, "dumb");

	*p = (struct refresh_progress){
		.fd = can_draw ? fd : -1, .total = total, .began_ms = clock_monotonic_ms()};
	if (p->fd >= 0 && total > 0)
		draw(p, p->began_ms);
}

void refresh_progress_step(struct refresh_progress *p, int has_failed)
{
	int64_t now_ms = clock_monotonic_ms();

	p->done++;
	p->failed += has_failed;
	if (p->done > p->total)
		p->total = p->done;
	if (p->fd >= 0 && now_ms - p->drawn_ms >= DRAW_MS)
		draw(p, now_ms);
}

void refresh_progress_end(struct refresh_progress *p)
{
	if (p->fd >= 0 && p->drawn_ms)
		put(p, "\r\033[K", strlen("\r\033[K"));
	p->fd = -1;
}
