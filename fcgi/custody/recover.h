/* What a process that is gone left of its renewals: slots of its spool, leases, stores left behind.
 */
#ifndef VESTAL_CUSTODY_RECOVER_H
#define VESTAL_CUSTODY_RECOVER_H

#include "custody/custody.h"

struct custody_recovered {
	size_t spools;    /* taken over */
	size_t stored;    /* answers that had not reached the database */
	size_t ambiguous; /* requests whose answer nobody has */
	size_t released;  /* leases */
	size_t left;      /* slots that could not be settled now, and stay */
};

/*
 * Settles every spool on this host whose process is gone, and the slots of the own one. Harmless to
 * repeat. Returns the database's errors and ERR_IO.
 */
enum err custody_recover(
	struct work *w, const struct custody *c, struct custody_recovered *recovered) MUST_CHECK;

#endif
