/*
 * The settings: read once, checked hard, constant afterwards. The table is base/option.def.
 */
#ifndef VESTAL_BASE_CONF_H
#define VESTAL_BASE_CONF_H

#include "base/work.h"

enum conf_option {
#define OPTION(name, type, fallback, least, most, help) CONF_##name,
#include "base/option.def"
#undef OPTION
	CONF_COUNT
};

struct conf {
	const char *text[CONF_COUNT];
	int64_t number[CONF_COUNT];     /* of NUMBER settings */
	const char *origin[CONF_COUNT]; /* "default", "FILE:LINE" or "environment" */
	const char *file;               /* the configuration file, or NULL when there is none */
};

/*
 * Reads the file named by VESTAL_CONF (or the installed one, which may be absent) and the
 * environment. Returns: ERR_CONFIG with the setting's name, its value's fault and where it was set
 * as the work's detail. Owns: texts live in w.
 */
enum err conf_load(struct work *w, struct conf *conf) MUST_CHECK;

/* One setting's text, or number: conf_text(conf, CONF_state_dir). */
const char *conf_text(const struct conf *conf, enum conf_option option);
int64_t conf_number(const struct conf *conf, enum conf_option option);

/* Names and help, for `vestalctl config` and the documentation check. */
const char *conf_name(enum conf_option option);
const char *conf_help(enum conf_option option);

#endif
