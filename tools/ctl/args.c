/* The argument parser. It decides what may stand where; what a value means is the command's. */
#include "ctl/args.h"

#include "base/text.h"

#include <string.h>

#define IMPLIED (CTL_BIT(CTL_OPT_JSON) | CTL_BIT(CTL_OPT_HELP))

struct parser {
	struct work *w;
	char *const *words;
	size_t n, at;
	struct ctl_args *args;
};

const char *ctl_args_text(const struct ctl_args *args, enum ctl_option option)
{
	return args->counts[option] ? args->values[option][0] : NULL;
}

int ctl_args_has(const struct ctl_args *args, enum ctl_option option)
{
	return args->counts[option] > 0;
}

/* --- the command's name ---------------------------------------------------------------------- */

/* The words that may follow a first one that is no command by itself: "add, list, remove". */
static const char *family_of(struct work *w, const struct ctl_command *table, const char *word)
{
	size_t n = strlen(word);
	const char *words = NULL;

	for (; table->name; table++)
		if (text_starts(table->name, word) && table->name[n] == ' ')
			words = words ? work_printf(w, "%s, %s", words, table->name + n + 1)
				      : table->name + n + 1;
	return words;
}

static const struct ctl_command *find_command(
	const struct parser *p, const struct ctl_command *table, size_t *used)
{
	const struct ctl_command *command = NULL;

	*used = 2;
	if (p->n > 1)
		command = ctl_command_find(
			table, work_printf(p->w, "%s %s", p->words[0], p->words[1]));
	if (!command) {
		*used = 1;
		command = ctl_command_find(table, p->words[0]);
	}
	return command;
}

static enum err no_command(const struct parser *p, const struct ctl_command *table)
{
	const char *first = p->words[0], *family = family_of(p->w, table, first);

	if (!family)
		return work_fail(p->w, ERR_USAGE,
			"%s is not a command; vestalctl help shows them all", first);
	if (p->n > 1 && p->words[1][0] != '-')
		return work_fail(p->w, ERR_USAGE, "%s %s is not a command; there is %s %s", first,
			p->words[1], first, family);
	return work_fail(p->w, ERR_USAGE, "%s needs one of: %s", first, family);
}

static int is_help(const char *word)
{
	return text_equal(word, "--help") || text_equal(word, "-h");
}

/* "client --help" is "help client". */
static const struct ctl_command *family_help(
	struct parser *p, const struct ctl_command *table, const char *first)
{
	if (p->n < 2 || !is_help(p->words[1]) || !family_of(p->w, table, first))
		return NULL;
	p->args->positionals[p->args->positional_count++] = first;
	p->at = 2;
	return ctl_command_find(table, "help");
}

static enum err read_command(struct parser *p, const struct ctl_command *table)
{
	const char *first = p->n ? p->words[0] : "--help";

	p->at = p->n ? 1 : 0;
	if (is_help(first))
		p->args->command = ctl_command_find(table, "help");
	else if (text_equal(first, "--version") || text_equal(first, "-V"))
		p->args->command = ctl_command_find(table, "version");
	else
		p->args->command = find_command(p, table, &p->at);
	if (!p->args->command)
		p->args->command = family_help(p, table, first);
	return p->args->command ? ERR_OK : no_command(p, table);
}

/* --- what follows it ------------------------------------------------------------------------- */

static int option_by_name(const char *name, size_t n)
{
	for (int i = 0; i < CTL_OPT_COUNT; i++)
		if (strlen(ctl_options[i].name) == n && strncmp(ctl_options[i].name, name, n) == 0)
			return i;
	return -1;
}

static enum err check_value(struct work *w, const char *name, const char *value)
{
	if (!*value)
		return work_fail(w, ERR_USAGE, "%s is empty", name);
	if (text_has_control(value))
		return work_fail(w, ERR_USAGE, "%s holds a control character", name);
	return ERR_OK;
}

static void keep(struct parser *p, int option, const char *value)
{
	struct ctl_args *args = p->args;

	if (!args->values[option])
		args->values[option] = work_alloc(p->w, p->n * sizeof(*args->values[option]));
	args->values[option][args->counts[option]++] = value;
}

/* The value of an option: behind its equals sign, or the next word. */
static enum err take_value(
	struct parser *p, const struct ctl_option_row *row, const char *equals, const char **value)
{
	if (!row->word) {
		*value = "";
		return equals ? work_fail(p->w, ERR_USAGE, "%s takes no value", row->name) : ERR_OK;
	}
	if (equals)
		*value = equals + 1;
	else if (p->at < p->n && !text_starts(p->words[p->at], "--"))
		*value = p->words[p->at++];
	else
		return work_fail(p->w, ERR_USAGE, "%s needs a value: %s", row->name, row->word);
	return check_value(p->w, row->name, *value);
}

static enum err read_option(struct parser *p, const char *word)
{
	const struct ctl_command *command = p->args->command;
	const char *equals = strchr(word, '='), *value = NULL;
	size_t n = equals ? (size_t)(equals - word) : strlen(word);
	int option = is_help(word) ? CTL_OPT_HELP : option_by_name(word, n);
	enum err err;

	if (option < 0 || !((command->takes | IMPLIED) & CTL_BIT(option)))
		return work_fail(
			p->w, ERR_USAGE, "%s takes no option %.*s", command->name, (int)n, word);
	if (p->args->counts[option] && !((command->repeats | IMPLIED) & CTL_BIT(option)))
		return work_fail(p->w, ERR_USAGE, "%s is given twice", ctl_options[option].name);
	err = take_value(p, &ctl_options[option], equals, &value);
	if (!err)
		keep(p, option, value);
	return err;
}

static enum err read_positional(struct parser *p, const char *word)
{
	struct ctl_args *args = p->args;

	if (args->positional_count == args->command->most)
		return work_fail(p->w, ERR_USAGE, "%s takes no further argument: %s",
			args->command->name, word);
	args->positionals[args->positional_count++] = word;
	return check_value(p->w, "an argument", word);
}

/* The name of the first positional argument that was not given. */
static const char *missing(const struct parser *p)
{
	const char *name = p->args->command->usage;

	for (size_t i = 0; i < p->args->positional_count; i++)
		name += strcspn(name, " ") + 1;
	return arena_strndup(&p->w->arena, name, strcspn(name, " "));
}

static enum err check_whole(const struct parser *p)
{
	const struct ctl_args *args = p->args;

	if (args->positional_count < args->command->least)
		return work_fail(p->w, ERR_USAGE, "%s needs %s", args->command->name, missing(p));
	for (int i = 0; i < CTL_OPT_COUNT; i++)
		if (args->command->requires & CTL_BIT(i) && !args->counts[i])
			return work_fail(p->w, ERR_USAGE, "%s needs %s %s", args->command->name,
				ctl_options[i].name, ctl_options[i].word);
	return ERR_OK;
}

enum err ctl_args_parse(struct work *w, const struct ctl_command *table, size_t n,
	char *const *words, struct ctl_args *args)
{
	struct parser p = {.w = w, .words = words, .n = n, .args = args};
	int only_positionals = 0;
	enum err err;

	*args = (struct ctl_args){0};
	err = read_command(&p, table);
	while (!err && p.at < n) {
		const char *word = words[p.at++];

		if (only_positionals || word[0] != '-' || !word[1])
			err = read_positional(&p, word);
		else if (text_equal(word, "--"))
			only_positionals = 1;
		else
			err = read_option(&p, word);
	}
	return err || ctl_args_has(args, CTL_OPT_HELP) ? err : check_whole(&p);
}
