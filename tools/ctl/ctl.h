/* One run of vestalctl: what a command works with, and the steps that bring it up. */
#ifndef VESTAL_CTL_CTL_H
#define VESTAL_CTL_CTL_H

#include "ctl/args.h"
#include "ctl/become.h"
#include "ctl/out.h"
#include "custody/custody.h"

struct ctl {
	struct work *w;
	const struct ctl_args *args;
	struct ctl_out out;
	struct conf conf;      /* as it is set */
	struct conf boot_conf; /* the same, but quieter */
	struct custody c;
	int input;                 /* the file named on the command line; -1: none was */
	int inputs[CTL_OPT_COUNT]; /* each of them by its option, where there are several */
	int manifest;              /* of the file that is made, where one is; 0: none */
	int is_locked;             /* secrets cannot be swapped out */
	const char *db_fault;      /* why there is no database, where the command copes without */
	int exit_code;             /* of a command that ends well */
};

/*
 * Brings up what the command needs, in the one order that is safe for root: configuration, files of
 * the command line, database (which sees who connects), then the owner's account, then keys and
 * definitions. Returns: their errors.
 */
enum err ctl_open(struct ctl *ctl) MUST_CHECK;

/* The steps of ctl_open(), for `doctor`, which goes on after one that failed. */
enum err ctl_open_libraries(struct ctl *ctl) MUST_CHECK;
enum err ctl_open_conf(struct ctl *ctl) MUST_CHECK;
enum err ctl_open_database(struct ctl *ctl, int is_bare) MUST_CHECK; /* also a second time */
enum err ctl_open_account(struct ctl *ctl, int with_key_dir) MUST_CHECK;

/* Ends what ctl_open() began, however far it came. */
void ctl_close(struct ctl *ctl);

/* What to tell a person of an error: the first fault that was recorded, or its title and cause.
 * Owns: the work. */
const char *ctl_explain(struct ctl *ctl, enum err err);

/* A line on standard error: what is worth knowing but no fault. */
void ctl_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A fault of an option's value. Returns ERR_USAGE. */
enum err ctl_bad_option(
	struct ctl *ctl, enum ctl_option option, const char *value, const char *fault) MUST_CHECK;

/* The words of a JSON array of texts, with commas between; NULL for NULL. Returns: ERR_DB. Owns:
 * the work. */
enum err ctl_words(struct ctl *ctl, const char *json, const char **words) MUST_CHECK;

/* A client that is not there; what names the argument. Returns ERR_CLIENT_UNKNOWN. */
enum err ctl_no_client(struct ctl *ctl, const char *what, const char *client) MUST_CHECK;

/* A provider as a positional argument. Returns: ERR_USAGE. */
enum err ctl_find_provider(
	struct ctl *ctl, const char *name, const struct oauth_provider **provider) MUST_CHECK;

/* A client's id as a positional argument. Returns: ERR_USAGE. */
enum err ctl_check_client(struct ctl *ctl, const char *client) MUST_CHECK;

#endif
