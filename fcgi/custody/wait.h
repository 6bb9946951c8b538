/* Waiting for a renewal that somebody else began: another worker, another host, the refresher. */
#ifndef VESTAL_CUSTODY_WAIT_H
#define VESTAL_CUSTODY_WAIT_H

#include "custody/place.h"

/* The token whose successor is waited for. */
struct custody_awaited {
	int64_t connection_id, generation;
	const char *client, *provider;
	int is_needed; /* without it there is nothing to answer with */
};

enum custody_waited {
	CUSTODY_WAITED,     /* something newer is there, or the renewal ended without it */
	CUSTODY_WAIT_FREE,  /* nobody renews it, and nobody said that it ended */
	CUSTODY_WAIT_ENDED, /* it goes on, but there was no place, or there is no more time */
};

/*
 * Waits for the end of a renewal, if there is one and its process is not known to be gone: for as
 * long as its lease and the work's time last, less a second for what follows. Without a free place
 * it waits at most for the renewal's first second, and only if the token is needed. Returns the
 * database's errors and ERR_CONNECTION_UNKNOWN.
 */
enum err custody_wait(struct work *w, const struct custody *c, const struct custody_places *places,
	const struct custody_awaited *awaited, enum custody_waited *waited) MUST_CHECK;

#endif
