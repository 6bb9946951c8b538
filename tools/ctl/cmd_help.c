/* help, version: what the tables say, for people. */
#include "base/text.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"

#include <string.h>

static void show_overview(struct buf *text)
{
	buf_text(text, "usage: vestalctl COMMAND [ARGUMENT]... [--json]\n\n");
	for (const struct ctl_command *row = ctl_commands; row->name; row++)
		buf_printf(text, "  %-19s %s\n", row->name, row->help);
	buf_text(text, "\nvestalctl help COMMAND shows its arguments.\n");
}

static void show_option(struct buf *text, const struct ctl_option_row *row)
{
	int pad = 30 - (int)(strlen(row->name) + (row->word ? strlen(row->word) + 1 : 0));

	buf_printf(text, "  %s%s%s%*s%s\n", row->name, row->word ? " " : "",
		row->word ? row->word : "", pad > 1 ? pad : 1, "", row->help);
}

static void show_command(struct buf *text, const struct ctl_command *command)
{
	const unsigned shown = command->takes | CTL_BIT(CTL_OPT_JSON) | CTL_BIT(CTL_OPT_HELP);

	buf_printf(text, "usage: vestalctl %s%s%s\n\n  %s\n\n", command->name,
		*command->usage ? " " : "", command->usage, command->help);
	for (unsigned i = 0; i < CTL_OPT_COUNT; i++)
		if (shown & CTL_BIT(i))
			show_option(text, &ctl_options[i]);
}

/* "help app set", "app set --help"; "help app" shows the family. */
enum err ctl_cmd_help(struct ctl *ctl)
{
	const struct ctl_args *args = ctl->args;
	const struct ctl_command *command = args->command;
	struct buf *text = &ctl->out.text;
	const char *first = args->positionals[0], *name = first;
	int found = 0;

	if (text_equal(command->name, "help")) {
		if (!first) {
			show_overview(text);
			return ERR_OK;
		}
		if (args->positional_count > 1)
			name = work_printf(ctl->w, "%s %s", first, args->positionals[1]);
		command = ctl_command_find(ctl_commands, name);
	}
	if (command) {
		show_command(text, command);
		return ERR_OK;
	}
	for (const struct ctl_command *row = ctl_commands; row->name; row++)
		if (text_starts(row->name, work_printf(ctl->w, "%s ", name))) {
			buf_printf(text, "  %-19s %s\n", row->name, row->help);
			found = 1;
		}
	return found ? ERR_OK : work_fail(ctl->w, ERR_USAGE, "%s is not a command", name);
}

enum err ctl_cmd_version(struct ctl *ctl)
{
	if (ctl->out.is_json) {
		jout_object(&ctl->out.json, NULL);
		jout_text(&ctl->out.json, "version", VESTAL_VERSION);
		jout_end_object(&ctl->out.json);
	} else
		buf_text(&ctl->out.text, "vestalctl " VESTAL_VERSION "\n");
	return ERR_OK;
}
