/* vestalctl: the operator's command line. It takes the arguments apart, brings up what the command
 * needs, runs it, and says how it ended. */
#include "ctl/ctl.h"

#include <stdio.h>

#define BUDGET_MS ((int64_t)3600 * 1000) /* a migration may take its time */

static void complain(struct ctl *ctl, enum err err)
{
	const struct ctl_command *command = ctl->args->command;

	fprintf(stderr, "vestalctl: %s\n", ctl_explain(ctl, err));
	if (err == ERR_USAGE && command)
		fprintf(stderr, "usage: vestalctl %s%s%s\n", command->name,
			*command->usage ? " " : "", command->usage);
}

static enum err run(struct ctl *ctl)
{
	const struct ctl_command *command = ctl->args->command;
	enum err err = ERR_OK;

	if (ctl_args_has(ctl->args, CTL_OPT_HELP))
		command = ctl_command_find(ctl_commands, "help");
	else
		err = ctl_open(ctl);
	if (!err)
		err = command->run(ctl);
	return err ? err : ctl_out_end(ctl->w, &ctl->out);
}

int main(int argc, char **argv)
{
	struct work w;
	struct ctl_args args;
	struct ctl ctl = {.w = &w, .args = &args, .input = -1};
	const char *fault = ctl_command_fault(ctl_commands);
	enum err err;

	work_begin(&w, BUDGET_MS);
	err = ctl_args_parse(&w, ctl_commands, argc > 1 ? (size_t)argc - 1 : 0, argv + 1, &args);
	if (fault)
		err = work_fail(&w, ERR_BUG, "command table: %s", fault);
	if (!err) {
		ctl_out_begin(&ctl.out, &w, ctl_args_has(&args, CTL_OPT_JSON));
		err = run(&ctl);
	}
	if (err)
		complain(&ctl, err);
	ctl_close(&ctl);
	work_end(&w);
	return err ? err_exit_code(err) : ctl.exit_code;
}
