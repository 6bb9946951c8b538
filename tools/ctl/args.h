/* The command line, taken apart by the tables of ctl/command.h. */
#ifndef VESTAL_CTL_ARGS_H
#define VESTAL_CTL_ARGS_H

#include "base/work.h"
#include "ctl/command.h"

struct ctl_args {
	const struct ctl_command *command; /* NULL: none was recognised */
	const char **values[CTL_OPT_COUNT];
	size_t counts[CTL_OPT_COUNT]; /* how often each was given */
	const char *positionals[CTL_POSITIONALS_MAX];
	size_t positional_count;
};

/*
 * Takes n words (without the program's name) apart. No words at all, --help and --version in the
 * place of a command are the commands "help" and "version". Returns: ERR_USAGE with the argument
 * and its fault as the work's detail; args->command is set when it was recognised. Owns: the work;
 * the words have to outlive it.
 */
enum err ctl_args_parse(struct work *w, const struct ctl_command *table, size_t n,
	char *const *words, struct ctl_args *args) MUST_CHECK;

/* The first value of an option, or NULL when it was not given. */
const char *ctl_args_text(const struct ctl_args *args, enum ctl_option option);

/* Whether an option was given. */
int ctl_args_has(const struct ctl_args *args, enum ctl_option option);

#endif
