/* --dry-run: what a run would do with whom, and why; nothing is changed by it. */
#ifndef VESTAL_REFRESH_PLAN_H
#define VESTAL_REFRESH_PLAN_H

#include "custody/custody.h"
#include "refresh/options.h"

/* Shows the plan on standard output. *exit_code: 0, or 2 when a connection needs a person. Returns
 * the database's errors, ERR_IO. */
enum err refresh_plan(struct work *w, const struct custody *c,
	const struct refresh_options *options, int *exit_code) MUST_CHECK;

/* In words why a connection is taken up, or why it has to wait; "" for a word nobody knows. */
const char *refresh_plan_reason(const char *why);

#endif
