/* The argument parser, on a table of its own. */
#include "../support/unit.h"

#include "ctl/args.h"

#include <string.h>

static enum err run(struct ctl *ctl)
{
	(void)ctl;
	return ERR_OK;
}

static const struct ctl_command table[] = {
	{.name = "app set",
		.usage = "PROVIDER [CLIENT] --client-id ID [--client CLIENT]... [--all-clients]",
		.help = "set",
		.takes = CTL_BIT(CTL_OPT_CLIENT_ID) | CTL_BIT(CTL_OPT_CLIENT) |
			 CTL_BIT(CTL_OPT_ALL_CLIENTS),
		.requires = CTL_BIT(CTL_OPT_CLIENT_ID),
		.repeats = CTL_BIT(CTL_OPT_CLIENT),
		.least = 1,
		.most = 2,
		.run = run},
	{.name = "app show", .usage = "", .help = "show", .run = run},
	{.name = "health", .usage = "", .help = "look", .run = run},
	{.name = "help", .usage = "[COMMAND]", .help = "help", .most = 2, .run = run},
	{.name = "link",
		.usage = "CLIENT PROVIDER",
		.help = "link",
		.least = 2,
		.most = 2,
		.run = run},
	{.name = "version", .usage = "", .help = "version", .run = run},
	{0},
};

#define WORDS_MAX 16

/* Words are parted by one space; "''" is an empty word. */
static enum err parse(struct work *w, const char *line, struct ctl_args *args)
{
	char *words[WORDS_MAX], *rest = arena_strdup(&w->arena, line), *word;
	char **kept = work_alloc(w, sizeof(words));
	size_t n = 0;

	while ((word = strtok_r(rest, " ", &rest)))
		words[n++] = strcmp(word, "''") == 0 ? arena_strdup(&w->arena, "") : word;
	memcpy(kept, words, n * sizeof(*words));
	return ctl_args_parse(w, table, n, kept, args);
}

static void good(struct work *w, const char *line, const char *command, struct ctl_args *args)
{
	enum err err = parse(w, line, args);

	if (err)
		fail_msg("\"%s\" is refused: %s", line, w->detail ? w->detail : "no reason");
	unit_same(line, args->command->name, command);
}

static void the_command_is_one_word_or_two(void **state)
{
	struct ctl_args args;

	good(*state, "health", "health", &args);
	good(*state, "app show", "app show", &args);
	good(*state, "help app set", "help", &args);
	assert_int_equal(args.positional_count, 2);
}

static void nothing_and_dashes_are_help_and_version(void **state)
{
	struct ctl_args args;

	good(*state, "", "help", &args);
	good(*state, "--help", "help", &args);
	good(*state, "-h", "help", &args);
	good(*state, "--version", "version", &args);
	good(*state, "-V", "version", &args);
	good(*state, "app --help", "help", &args);
	unit_same("family", args.positionals[0], "app");
}

static void options_stand_anywhere_behind_it(void **state)
{
	struct ctl_args args;

	good(*state, "app set --client a zoho --client=b=c --client-id x --json", "app set", &args);
	unit_same("positional", args.positionals[0], "zoho");
	assert_int_equal(args.positional_count, 1);
	assert_int_equal(args.counts[CTL_OPT_CLIENT], 2);
	unit_same("first", args.values[CTL_OPT_CLIENT][0], "a");
	unit_same("second", args.values[CTL_OPT_CLIENT][1], "b=c");
	unit_same("text", ctl_args_text(&args, CTL_OPT_CLIENT_ID), "x");
	assert_true(ctl_args_has(&args, CTL_OPT_JSON));
	assert_false(ctl_args_has(&args, CTL_OPT_ALL_CLIENTS));
	assert_null(ctl_args_text(&args, CTL_OPT_NAME));
}

static void dashes_can_be_meant(void **state)
{
	struct ctl_args args;

	good(*state, "app set - --client-id -", "app set", &args);
	unit_same("a dash is an argument", args.positionals[0], "-");
	unit_same("a dash is a value", ctl_args_text(&args, CTL_OPT_CLIENT_ID), "-");
	good(*state, "app set --client-id=--x -- --json", "app set", &args);
	unit_same("value", ctl_args_text(&args, CTL_OPT_CLIENT_ID), "--x");
	unit_same("behind --", args.positionals[0], "--json");
	assert_false(ctl_args_has(&args, CTL_OPT_JSON));
}

static void help_asks_for_nothing_else(void **state)
{
	struct ctl_args args;

	good(*state, "app set --help", "app set", &args);
	assert_true(ctl_args_has(&args, CTL_OPT_HELP));
	good(*state, "link -h", "link", &args);
	assert_true(ctl_args_has(&args, CTL_OPT_HELP));
}

static void each_fault_names_its_argument(void **state)
{
	static const struct {
		const char *line, *said, *command;
	} cases[] = {
		{"nope", "nope is not a command", NULL},
		{"app", "app needs one of: set, show", NULL},
		{"app --json", "app needs one of: set, show", NULL},
		{"app sit", "app sit is not a command; there is app set, show", NULL},
		{"ap set", "ap is not a command", NULL},
		{"health now", "health takes no further argument: now", "health"},
		{"health --client x", "health takes no option --client", "health"},
		{"health --nope=1", "health takes no option --nope", "health"},
		{"health -x", "health takes no option -x", "health"},
		{"health --json=1", "--json takes no value", "health"},
		{"health --jso", "health takes no option --jso", "health"},
		{"app set", "app set needs PROVIDER", "app set"},
		{"link", "link needs CLIENT", "link"},
		{"link a", "link needs PROVIDER", "link"},
		{"app set p", "app set needs --client-id ID", "app set"},
		{"app set p --client-id", "--client-id needs a value: ID", "app set"},
		{"app set p --client-id --json", "--client-id needs a value: ID", "app set"},
		{"app set p --client-id ''", "--client-id is empty", "app set"},
		{"app set p --client-id=", "--client-id is empty", "app set"},
		{"app set p --client-id a\tb", "--client-id holds a control character", "app set"},
		{"app set ''", "an argument is empty", "app set"},
		{"app set \xff", "an argument holds a control character", "app set"},
		{"app set p --client-id a --client-id b", "--client-id is given twice", "app set"},
		{"app set p --all-clients --all-clients", "--all-clients is given twice",
			"app set"},
		{"app set p q r", "app set takes no further argument: r", "app set"},
	};

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		struct ctl_args args;
		struct work w;

		(void)state;
		work_begin(&w, 1000);
		if (parse(&w, cases[i].line, &args) != ERR_USAGE)
			fail_msg("\"%s\" is not bad usage", cases[i].line);
		unit_holds(cases[i].line, w.detail, cases[i].said);
		unit_same(
			cases[i].line, args.command ? args.command->name : NULL, cases[i].command);
		work_end(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_TEST(the_command_is_one_word_or_two),
		UNIT_TEST(nothing_and_dashes_are_help_and_version),
		UNIT_TEST(options_stand_anywhere_behind_it),
		UNIT_TEST(dashes_can_be_meant),
		UNIT_TEST(help_asks_for_nothing_else),
		UNIT_TEST(each_fault_names_its_argument),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
