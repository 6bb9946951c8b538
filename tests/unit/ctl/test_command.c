/* The table of commands: sound, in the manual, and refused when it is not. */
#include "../support/unit.h"

#include "base/file.h"
#include "ctl/cmd.h"
#include "ctl/command.h"

#include <fcntl.h>
#include <string.h>

#define MANUAL_MAX_BYTES ((size_t)256 * 1024)

static void the_table_is_sound(void **state)
{
	(void)state;
	unit_same("table", ctl_command_fault(ctl_commands), NULL);
}

static void each_row_is_found_by_its_name(void **state)
{
	(void)state;
	for (const struct ctl_command *row = ctl_commands; row->name; row++)
		assert_ptr_equal(ctl_command_find(ctl_commands, row->name), row);
	assert_null(ctl_command_find(ctl_commands, "app"));
	assert_null(ctl_command_find(ctl_commands, ""));
}

static void bad_rows_are_refused(void **state)
{
	static const struct {
		struct ctl_command row;
		const char *said;
	} cases[] = {
		{{.name = "x", .usage = "", .help = "x"}, "lacks"},
		{{.name = "x", .help = "x", .run = ctl_cmd_help}, "lacks"},
		{{.name = "x", .usage = "", .run = ctl_cmd_help}, "lacks"},
		{{.name = "x",
			 .usage = "[--json]",
			 .help = "x",
			 .takes = CTL_BIT(CTL_OPT_JSON),
			 .run = ctl_cmd_help},
			"go without saying"},
		{{.name = "x",
			 .usage = "",
			 .help = "x",
			 .requires = CTL_BIT(CTL_OPT_NAME),
			 .run = ctl_cmd_help},
			"does not take"},
		{{.name = "x",
			 .usage = "",
			 .help = "x",
			 .repeats = CTL_BIT(CTL_OPT_NAME),
			 .run = ctl_cmd_help},
			"does not take"},
		{{.name = "x",
			 .usage = "",
			 .help = "x",
			 .takes = CTL_BIT(CTL_OPT_NAME),
			 .run = ctl_cmd_help},
			"differ"},
		{{.name = "x",
			 .usage = "--client-id ID",
			 .help = "x",
			 .takes = CTL_BIT(CTL_OPT_CLIENT),
			 .run = ctl_cmd_help},
			"differ"},
		{{.name = "x", .usage = "--name NAME", .help = "x", .run = ctl_cmd_help}, "differ"},
		{{.name = "x",
			 .usage = "A",
			 .help = "x",
			 .least = 2,
			 .most = 2,
			 .run = ctl_cmd_help},
			"does not begin with"},
		{{.name = "x", .usage = "A", .help = "x", .least = 1, .run = ctl_cmd_help},
			"makes no sense"},
		{{.name = "x", .usage = "", .help = "x", .most = 99, .run = ctl_cmd_help},
			"makes no sense"},
		{{.name = "x", .usage = "", .help = "x", .needs = CTL_NEED_DB, .run = ctl_cmd_help},
			"without the configuration"},
		{{.name = "x", .usage = "", .help = "x", .rings = 1, .run = ctl_cmd_help},
			"without the configuration"},
		{{.name = "x",
			 .usage = "",
			 .help = "x",
			 .needs = CTL_NEED_CONF | CTL_NEED_DB | CTL_NEED_DB_TRY,
			 .run = ctl_cmd_help},
			"in two ways"},
	};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		const struct ctl_command table[] = {cases[i].row, {0}};

		unit_holds(cases[i].said, ctl_command_fault(table), cases[i].said);
	}
}

static void the_order_is_kept(void **state)
{
	const struct ctl_command row = {.name = "x", .usage = "", .help = "x", .run = ctl_cmd_help};
	const struct ctl_command twice[] = {row, row, {0}};

	(void)state;
	unit_holds("twice", ctl_command_fault(twice), "not in order");
}

/* A command's entry begins with its name in bold. */
static int begins_entry(const char *manual, const char *at)
{
	static const char *const leads[] = {"\n.B ", "\n.BI \"", "\n\\fB"};

	for (size_t i = 0; i < UNIT_COUNT(leads); i++) {
		size_t n = strlen(leads[i]);

		if ((size_t)(at - manual) >= n && strncmp(at - n, leads[i], n) == 0)
			return 1;
	}
	return 0;
}

static void the_manual_knows_every_command_and_option(void **state)
{
	struct work *w = *state;
	const char *at;
	char *manual = NULL, *plain;
	size_t n = 0, len = 0;

	assert_int_equal(file_read(w, AT_FDCWD, unit_source(w, "tools/ctl/vestalctl.8"),
				 MANUAL_MAX_BYTES, &manual, &n),
		ERR_OK);
	plain = work_alloc(w, n + 1);
	for (at = manual; *at; at++) /* without the escapes of hyphens */
		if (at[0] != '\\' || at[1] != '-')
			plain[len++] = *at;
	for (const struct ctl_command *row = ctl_commands; row->name; row++) {
		int found = 0;

		for (at = plain; !found && (at = strstr(at, row->name)); at++)
			found = begins_entry(plain, at);
		if (!found)
			fail_msg("%s is not in the manual", row->name);
	}
	for (unsigned i = 0; i < CTL_OPT_COUNT; i++)
		unit_holds("manual", plain, ctl_options[i].name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST(the_table_is_sound),
		UNIT_TEST(each_row_is_found_by_its_name),
		UNIT_TEST(bad_rows_are_refused),
		UNIT_TEST(the_order_is_kept),
		UNIT_TEST(the_manual_knows_every_command_and_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
