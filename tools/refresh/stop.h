/* How a run is asked to end early: SIGTERM, SIGINT, SIGHUP. */
#ifndef VESTAL_REFRESH_STOP_H
#define VESTAL_REFRESH_STOP_H

#include "base/err.h"

#include <signal.h>

/*
 * From now on the first of these signals only says so: nothing new is begun, what is on its way is
 * finished. The next, a moment later, ends the process at once. A signal that was ignored before
 * stays so. An end of the other side of a pipe ends nothing. Returns: ERR_BUG.
 */
enum err refresh_stop_install(void) MUST_CHECK;

/* Not 0 as soon as the first has come. */
const volatile sig_atomic_t *refresh_stop_flag(void);

/* Whether whoever sits at this terminal is told that the first one was heard. -1: nobody. */
void refresh_stop_tell(int fd);

#endif
