/* What a command prints: lines, a table for people, or one JSON document for programs. */
#ifndef VESTAL_CTL_OUT_H
#define VESTAL_CTL_OUT_H

#include "base/jout.h"

struct ctl_out {
	struct buf text;  /* on its way to standard output, wiped with the work */
	struct jout json; /* writes into it */
	int is_json, has_colour, failed;
};

void ctl_out_begin(struct ctl_out *out, struct work *w, int is_json);

/* Writes out what has gathered, when it is much. To be called between rows. */
void ctl_out_drain(struct ctl_out *out);

/* Writes out the rest, and the end of a JSON document. Returns: ERR_IO when anything was lost. */
enum err ctl_out_end(struct work *w, struct ctl_out *out) MUST_CHECK;

/* How good the news of a row is; shown as colour on a terminal, and not at all elsewhere. */
enum ctl_tone { CTL_PLAIN, CTL_GOOD, CTL_DOUBTFUL, CTL_BAD };

/* One text in its tone. */
void ctl_out_toned(struct ctl_out *out, enum ctl_tone tone, const char *text);

#define CTL_COLUMNS_MAX 10
#define CTL_TABLE_ROWS 1000 /* widths are chosen anew for so many rows */

struct ctl_row {
	const char *cells[CTL_COLUMNS_MAX];
	enum ctl_tone tone;
};

/* Aligned columns under a header, in constant memory however many rows come. */
struct ctl_table {
	struct ctl_out *out;
	struct work batch; /* owns the rows that wait */
	const char *const *heads;
	size_t columns, toned, n; /* the column that shows the tone; rows that wait */
	struct ctl_row *rows;
	int has_begun;
};

/* heads ends with NULL. toned: the column that shows a row's tone. */
void ctl_table_begin(
	struct ctl_table *table, struct ctl_out *out, const char *const *heads, size_t toned);

/* One row of as many cells as there are heads; NULL and "" are shown as "-". Cells are copied. */
void ctl_table_row(struct ctl_table *table, enum ctl_tone tone, const char *const *cells);

/* Prints what still waits, and the header in any case. */
void ctl_table_end(struct ctl_table *table);

#endif
