/* Bringing what the database holds to the two stores outside: the sealed copy and the environment
 * file. */
#ifndef VESTAL_CUSTODY_DISTRIBUTE_H
#define VESTAL_CUSTODY_DISTRIBUTE_H

#include "custody/custody.h"

#define CUSTODY_DISTRIBUTE_MAX 256

/* Which store holds the newest generation. */
struct custody_persisted {
	int database, file, environment;
	int whole; /* both others are what the row says, also where it says that there is nothing */
};

/*
 * Makes copy and environment file what the connection's row says: written, or removed with the
 * token; then the open incident is resolved, if the connection is healthy. The connection is locked
 * meanwhile, so that two never overtake each other. Whatever fails for this connection alone (a
 * store, a token that does not open, a definition that is gone) is logged, left behind in the row
 * and an incident, and no error. One that is not there is nowhere. Returns: the database's errors.
 */
enum err custody_distribute(struct work *w, const struct custody *c, int64_t connection_id,
	struct custody_persisted *persisted) MUST_CHECK;

/*
 * The same for n connections, CUSTODY_DISTRIBUTE_MAX at most, each of them once: in one commit,
 * unless the disk is so slow that their locks would be held for long. On an error persisted says
 * what was committed until then. Returns: the database's errors, ERR_BUG (n).
 */
enum err custody_distribute_many(struct work *w, const struct custody *c, const int64_t *ids,
	size_t n, struct custody_persisted *persisted) MUST_CHECK;

#endif
