/* Bringing what the database holds to the two stores outside: the sealed copy and the environment
 * file. */
#ifndef VESTAL_CUSTODY_DISTRIBUTE_H
#define VESTAL_CUSTODY_DISTRIBUTE_H

#include "custody/custody.h"

/* Which store holds the newest generation. */
struct custody_persisted {
	int database, file, environment;
};

/*
 * Makes copy and environment file what the connection's row says: written, or removed with the
 * token; then the open incident is resolved. The connection is locked meanwhile, so that two never
 * overtake each other. A store that fails is logged, left behind in the row and an incident, and no
 * error. Returns: the database's errors, ERR_SEALED, ERR_KEY_UNKNOWN.
 */
enum err custody_distribute(struct work *w, const struct custody *c, int64_t connection_id,
	struct custody_persisted *persisted) MUST_CHECK;

#endif
