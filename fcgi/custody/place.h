/*
 * Places: how many workers of a pool may be away for long at once, on this host. A worker that
 * renews or waits for a renewal is as good as gone for as long as a provider likes; the others have
 * to go on.
 */
#ifndef VESTAL_CUSTODY_PLACE_H
#define VESTAL_CUSTODY_PLACE_H

#include "custody/custody.h"

/* What a pool allows; see custody_places_of(). */
struct custody_places {
	size_t away;     /* renewing or waiting */
	size_t renewing; /* at one provider */
	size_t waiting;  /* for a renewal that somebody else began */
};

/* Of a pool of so many workers: all but one may be away, half of them renew at one provider, a
 * quarter wait; each at least one. */
struct custody_places custody_places_of(size_t workers);

struct custody_place {
	int away_fd, own_fd; /* -1: none */
};

/*
 * Takes a place to renew at a provider. When all are taken, but one only a moment ago, it stays a
 * moment: most renewals are over soon. Where places cannot be made the renewal goes before the
 * limit. Returns whether it has one; custody_place_leave() gives it back, and so does the end of
 * the process.
 */
int custody_place_to_renew(struct work *w, const struct custody *c,
	const struct custody_places *places, const char *provider, struct custody_place *place);

/* Takes a place to wait. Returns whether it has one, at once. */
int custody_place_to_wait(struct work *w, const struct custody *c,
	const struct custody_places *places, struct custody_place *place);

void custody_place_leave(struct custody_place *place);

#endif
