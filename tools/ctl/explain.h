/* Errors for people, for every program that has a terminal. */
#ifndef VESTAL_CTL_EXPLAIN_H
#define VESTAL_CTL_EXPLAIN_H

#include "base/conf.h"
#include "base/work.h"

/* The first fault that was recorded, or the error's title and cause, and which setting may be
 * wrong. Owns: the work. */
const char *ctl_explain_fault(struct work *w, const struct conf *conf, enum err err);

#endif
