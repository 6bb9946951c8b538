/* One run: its row, what earlier runs left, the renewals, the housekeeping, its end. */
#ifndef VESTAL_REFRESH_RUN_H
#define VESTAL_REFRESH_RUN_H

#include "refresh/options.h"
#include "refresh/output.h"

#include <signal.h>

#define REFRESH_HEAP_MAX_BYTES ((size_t)128 * 1024 * 1024)

/* The secure heap that so many renewals at once need; a power of two. */
size_t refresh_run_heap_bytes(int64_t concurrency);

/*
 * Does it all, and goes on behind what fails as far as that makes sense. began_ms: on the monotonic
 * clock, where the deadline counts from. stop: not 0 as soon as nothing new shall be begun. What
 * became of it is in *result; only the first fault is. Texts in it live in the work.
 */
void refresh_run(struct work *w, const struct custody *c, const struct refresh_options *options,
	int64_t began_ms, const volatile sig_atomic_t *stop, struct refresh_output *output,
	struct refresh_result *result);

/* What to tell a person of an error: the first fault that was recorded, or its title and cause.
 * Owns: the work. */
const char *refresh_run_explain(struct work *w, const struct conf *conf, enum err err);

#endif
