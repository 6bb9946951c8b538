/* Output. It decides how things look on a terminal, in a pipe and as JSON, not what they are. */
#include "ctl/out.h"

#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX_BYTES ((size_t)8 * 1024 * 1024)
#define DRAIN_BYTES ((size_t)64 * 1024)

static const char *const tones[] = {[CTL_PLAIN] = "",
	[CTL_GOOD] = "\033[32m",
	[CTL_DOUBTFUL] = "\033[33m",
	[CTL_BAD] = "\033[31m"};

void ctl_out_begin(struct ctl_out *out, struct work *w, int is_json)
{
	const char *no_colour = getenv("NO_COLOR");

	*out = (struct ctl_out){.is_json = is_json,
		.has_colour = isatty(STDOUT_FILENO) && !(no_colour && *no_colour)};
	buf_init(&out->text, w, TEXT_MAX_BYTES);
	jout_init(&out->json, &out->text);
}

static void write_out(struct ctl_out *out)
{
	const char *at = out->text.data;
	size_t left = out->text.len;

	while (left && !out->failed) {
		ssize_t written = write(STDOUT_FILENO, at, left);

		if (written < 0 && errno != EINTR)
			out->failed = 1;
		if (written > 0) {
			at += written;
			left -= (size_t)written;
		}
	}
	out->failed |= out->text.overflow;
	buf_clear(&out->text);
}

void ctl_out_drain(struct ctl_out *out)
{
	if (out->text.len >= DRAIN_BYTES)
		write_out(out);
}

enum err ctl_out_end(struct work *w, struct ctl_out *out)
{
	if (out->is_json && out->json.after_value)
		buf_char(&out->text, '\n');
	write_out(out);
	return out->failed ? work_fail(w, ERR_IO, "standard output could not be written") : ERR_OK;
}

void ctl_out_toned(struct ctl_out *out, enum ctl_tone tone, const char *text)
{
	int coloured = out->has_colour && tone != CTL_PLAIN;

	buf_text(&out->text, coloured ? tones[tone] : "");
	buf_text(&out->text, text);
	buf_text(&out->text, coloured ? "\033[0m" : "");
}

/* --- tables ---------------------------------------------------------------------------------- */

void ctl_table_begin(
	struct ctl_table *table, struct ctl_out *out, const char *const *heads, size_t toned)
{
	*table = (struct ctl_table){.out = out, .heads = heads, .toned = toned};
	while (heads[table->columns])
		table->columns++;
	work_begin(&table->batch, 0);
	table->rows = work_alloc(&table->batch, CTL_TABLE_ROWS * sizeof(*table->rows));
}

static size_t width_of(const char *cell)
{
	size_t chars = 0;

	for (; *cell; cell++)
		chars += ((unsigned char)*cell & 0xc0) != 0x80;
	return chars;
}

static void print_row(struct ctl_table *table, const struct ctl_row *row, const size_t *widths)
{
	struct ctl_out *out = table->out;

	for (size_t i = 0; i < table->columns; i++) {
		ctl_out_toned(out, i == table->toned ? row->tone : CTL_PLAIN, row->cells[i]);
		for (size_t n = width_of(row->cells[i]);
			i + 1 < table->columns && n < widths[i] + 2; n++)
			buf_char(&out->text, ' ');
	}
	buf_char(&out->text, '\n');
	ctl_out_drain(out);
}

static void print_batch(struct ctl_table *table)
{
	size_t widths[CTL_COLUMNS_MAX];
	struct ctl_row head = {.tone = CTL_PLAIN};

	for (size_t i = 0; i < table->columns; i++) {
		head.cells[i] = table->heads[i];
		widths[i] = width_of(table->heads[i]);
		for (size_t row = 0; row < table->n; row++)
			if (width_of(table->rows[row].cells[i]) > widths[i])
				widths[i] = width_of(table->rows[row].cells[i]);
	}
	if (!table->has_begun)
		print_row(table, &head, widths);
	table->has_begun = 1;
	for (size_t row = 0; row < table->n; row++)
		print_row(table, &table->rows[row], widths);
}

/* A copy that a terminal only shows: what would steer it becomes a question mark. */
static const char *harmless(struct work *w, const char *cell)
{
	char *copy;

	if (!cell || !*cell)
		return "-";
	copy = work_strdup(w, cell);
	for (char *c = copy; text_has_control(copy) && *c; c++)
		if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
			*c = '?';
	return copy;
}

void ctl_table_row(struct ctl_table *table, enum ctl_tone tone, const char *const *cells)
{
	struct ctl_row *row;

	if (table->n == CTL_TABLE_ROWS) {
		print_batch(table);
		work_end(&table->batch);
		work_begin(&table->batch, 0);
		table->rows = work_alloc(&table->batch, CTL_TABLE_ROWS * sizeof(*table->rows));
		table->n = 0;
	}
	row = &table->rows[table->n++];
	row->tone = tone;
	for (size_t i = 0; i < table->columns; i++)
		row->cells[i] = harmless(&table->batch, cells[i]);
}

void ctl_table_end(struct ctl_table *table)
{
	print_batch(table);
	work_end(&table->batch);
}
