/* The command line of vestal-refresh. */
#ifndef VESTAL_REFRESH_OPTIONS_H
#define VESTAL_REFRESH_OPTIONS_H

#include "base/buf.h"

#include <stdint.h>

enum refresh_mode { REFRESH_DUE, REFRESH_ALL, REFRESH_CHECK };

struct refresh_options {
	enum refresh_mode mode;
	const char *client, *provider; /* NULL: all of them */
	int64_t concurrency;           /* 0: as the setting renew_concurrency says */
	int64_t deadline_s;            /* 0: none */
	int is_dry_run, is_json, wants_help, wants_version;
};

/* "due", "all" or "check". */
const char *refresh_mode_name(enum refresh_mode mode);

/*
 * Takes n words (without the program's name) apart. Whether a provider or a client is there, it
 * cannot know. Returns: ERR_USAGE with the option and its fault as the work's detail. Owns: the
 * words have to outlive the options.
 */
enum err refresh_options_parse(
	struct work *w, size_t n, char *const *words, struct refresh_options *options) MUST_CHECK;

/* What --help says, and its first line alone. */
void refresh_options_help(struct buf *text);
void refresh_options_usage(struct buf *text);

#endif
