/* Tables: aligned, whole, and harmless to a terminal. */
#include "../support/unit.h"

#include "ctl/out.h"

#include <stdio.h>
#include <string.h>

#define MANY (2 * CTL_TABLE_ROWS + 1)

static const char *const heads[] = {"CLIENT", "STATUS", "X", NULL};

static void begin(struct work *w, struct ctl_out *out, struct ctl_table *table)
{
	ctl_out_begin(out, w, 0);
	out->has_colour = 0;
	ctl_table_begin(table, out, heads, 1);
}

static void columns_are_aligned(void **state)
{
	struct ctl_out out;
	struct ctl_table table;

	begin(*state, &out, &table);
	ctl_table_row(&table, CTL_BAD, (const char *const[]){"a", "invalid-ish", "1"});
	ctl_table_row(&table, CTL_GOOD, (const char *const[]){"\xc3\xbc\xc3\xbcmlaute", "ok", ""});
	ctl_table_row(&table, CTL_PLAIN, (const char *const[]){NULL, "ok", NULL});
	ctl_table_end(&table);
	unit_same("table", out.text.data,
		"CLIENT    STATUS       X\n"
		"a         invalid-ish  1\n"
		"\xc3\xbc\xc3\xbcmlaute  ok           -\n"
		"-         ok           -\n");
}

static void an_empty_table_has_its_header(void **state)
{
	struct ctl_out out;
	struct ctl_table table;

	begin(*state, &out, &table);
	ctl_table_end(&table);
	unit_same("table", out.text.data, "CLIENT  STATUS  X\n");
}

static void colour_is_for_terminals_and_pads_nothing(void **state)
{
	struct ctl_out out;
	struct ctl_table table;

	begin(*state, &out, &table);
	out.has_colour = 1;
	ctl_table_row(&table, CTL_BAD, (const char *const[]){"a", "dead", "1"});
	ctl_table_end(&table);
	unit_same("table", out.text.data,
		"CLIENT  STATUS  X\n"
		"a       \033[31mdead\033[0m    1\n");
}

static void nothing_steers_the_terminal(void **state)
{
	struct ctl_out out;
	struct ctl_table table;

	begin(*state, &out, &table);
	ctl_table_row(&table, CTL_PLAIN, (const char *const[]){"a\033[2J\n", "\xc2\x9b", "\xff"});
	ctl_table_end(&table);
	unit_lacks("escape", out.text.data, "\033");
	unit_lacks("C1", out.text.data, "\xc2\x9b");
	unit_lacks("no UTF-8", out.text.data, "\xff");
	unit_holds("the rest", out.text.data, "a?[2J?");
}

/* Rows beyond one batch come out in order, each once, under one header. */
static void many_rows_need_no_more_memory(void **state)
{
	struct ctl_out out;
	struct ctl_table table;
	size_t used = 0;
	char number[32];

	begin(*state, &out, &table);
	for (int i = 0; i < MANY; i++) {
		snprintf(number, sizeof(number), "%d", i);
		ctl_table_row(&table, CTL_PLAIN, (const char *const[]){number, "ok", "x"});
		if (table.batch.arena.used_bytes > used)
			used = table.batch.arena.used_bytes;
	}
	ctl_table_end(&table);
	assert_true(used < (size_t)CTL_TABLE_ROWS * 256);
	unit_holds("first", out.text.data, "CLIENT  STATUS  X\n0       ok      x\n1 ");
	unit_holds("seam", out.text.data, "\n999     ok      x\n1000    ok      x\n");
	unit_holds("last", out.text.data, "\n2000    ok      x\n");
	assert_null(strstr(out.text.data + 1, "CLIENT"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST(columns_are_aligned),
		UNIT_TEST(an_empty_table_has_its_header),
		UNIT_TEST(colour_is_for_terminals_and_pads_nothing),
		UNIT_TEST(nothing_steers_the_terminal),
		UNIT_TEST(many_rows_need_no_more_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
