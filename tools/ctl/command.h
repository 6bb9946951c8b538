/*
 * What vestalctl can do: one row a command, one a kind of option. A new command is a row in
 * ctl/command.c and a function in cmd_<family>.c.
 */
#ifndef VESTAL_CTL_COMMAND_H
#define VESTAL_CTL_COMMAND_H

#include "base/err.h"

#include <stddef.h>

struct ctl;

enum ctl_option {
	CTL_OPT_ACTIVE,
	CTL_OPT_ADDRESS,
	CTL_OPT_ALL_CLIENTS,
	CTL_OPT_ALL_NEEDED,
	CTL_OPT_CHECK,
	CTL_OPT_CLIENT,
	CTL_OPT_CLIENT_ID,
	CTL_OPT_CLIENT_SECRET_FILE,
	CTL_OPT_CREATE,
	CTL_OPT_CSV,
	CTL_OPT_DATACENTER,
	CTL_OPT_DRY_RUN,
	CTL_OPT_EXPIRES,
	CTL_OPT_FILE,
	CTL_OPT_FROM,
	CTL_OPT_HELP,
	CTL_OPT_JSON,
	CTL_OPT_NAME,
	CTL_OPT_OUT,
	CTL_OPT_PARAM,
	CTL_OPT_PROVIDER,
	CTL_OPT_PUBLIC_KEY,
	CTL_OPT_REASON,
	CTL_OPT_REDIRECT_URI,
	CTL_OPT_ROLE,
	CTL_OPT_SECRET_ENDS,
	CTL_OPT_TO,
	CTL_OPT_WITNESS,
	CTL_OPT_COUNT
};

#define CTL_BIT(option) (1u << (option))

#define CTL_FILE_NEW 2

struct ctl_option_row {
	const char *name; /* with its dashes */
	const char *word; /* stands for its value; NULL: it takes none */
	const char *help;
	int is_file; /* 1: an input, opened before the account changes; "-" is standard input.
		      * CTL_FILE_NEW: likewise a file to be made, with its manifest beside it */
};

extern const struct ctl_option_row ctl_options[CTL_OPT_COUNT];

/* What has to be there before a command runs. */
enum ctl_need {
	CTL_NEED_CONF = 1 << 0,
	CTL_NEED_DB = 1 << 1,      /* connected, with the right schema */
	CTL_NEED_DB_BARE = 1 << 2, /* connected, whatever its schema */
	CTL_NEED_DB_TRY = 1 << 3,  /* as CTL_NEED_DB, and the command copes without */
	CTL_NEED_PROVIDERS = 1 << 4,
	CTL_NEED_OWNER = 1 << 5,   /* as the owner, also without database and rings */
	CTL_NEED_WORKER = 1 << 7,  /* as the owner, and connected as the service's workers are */
	CTL_NEED_KEY_DIR = 1 << 6, /* the folder of the key rings, made when it is not there */
	CTL_NEED_SEALER = 1 << 8,  /* connected as the sealer, and the audit key's account */
};

#define CTL_POSITIONALS_MAX 4

struct ctl_command {
	const char *name;  /* one word or two */
	const char *usage; /* what follows the name; positional arguments come first */
	const char *help;  /* one line */
	unsigned takes;    /* bits of enum ctl_option; --json and --help go without saying */
	unsigned requires, repeats;
	size_t least, most; /* positional arguments */
	unsigned needs;     /* bits of enum ctl_need */
	unsigned rings;     /* bits of enum vault_ring, loaded */
	enum err (*run)(struct ctl *ctl);
};

/* The commands; the last row has no name. */
extern const struct ctl_command ctl_commands[];

/* What is wrong with a table of commands, or NULL. The text is static. */
const char *ctl_command_fault(const struct ctl_command *table);

/* A command by its name, or NULL. */
const struct ctl_command *ctl_command_find(const struct ctl_command *table, const char *name);

#endif
