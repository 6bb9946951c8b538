/* From a trial to custody: what an override and an undo have in common. */
#ifndef VESTAL_CUSTODY_KEEP_H
#define VESTAL_CUSTODY_KEEP_H

#include "custody/accept.h"
#include "custody/distribute.h"
#include "custody/trial.h"
#include "vault/spool.h"

/* What a trial whose token may cost another one has behind it in the spool. */
struct custody_keeping {
	struct vault_spool *spool; /* NULL: nothing is needed, or this program has none */
	struct vault_spool_key key;
	size_t slot;
	int is_due; /* what is in it is nowhere else yet */
};

/*
 * Makes ready to try: where the provider may replace the refresh token, the place for its answer is
 * taken and durable before it is asked, after what a crash left was settled. custody_keep_end() is
 * due in any case. Returns: ERR_IO (also: no slot), ERR_KEY_UNKNOWN and the database's errors.
 */
enum err custody_keep_begin(struct work *w, const struct custody *c,
	const struct custody_trial *trial, struct custody_keeping *keeping) MUST_CHECK;

/* Whether a token that could not be stored can be another time. */
int custody_keep_can_wait(enum err err);

/* The slot is free again, unless what is in it reached neither custody nor its place aside: then
 * whoever recovers next stores it (custody_keep_recovered()). err: how it ended. */
void custody_keep_end(struct custody_keeping *keeping, enum err err);

/*
 * Stores an answer that a crash left in the spool, unless the connection has got another grant
 * since; a renewal is none. *is_left: this program may not, and leaves it to a worker. Returns:
 * ERR_SEALED and what custody_accept() does.
 */
enum err custody_keep_recovered(struct work *w, const struct custody *c,
	const struct vault_spool_key *key, const struct secret *answer, int *is_left,
	const char **what) MUST_CHECK;

/*
 * Stores what a trial proved, as custody_accept(), and distributes it: connection_id, client,
 * kept_json, action, reason and what a caller adds are his, the rest is the trial's. Of another
 * account than the pinned one, or of nobody knows which, nothing is stored; what cost a refresh
 * token is kept aside (custody/held.h). A commit whose answer was lost is looked for, and made
 * again if it was none. Returns what custody_accept() does; a store outside that fails is no error.
 */
enum err custody_keep(struct work *w, const struct custody *c, struct custody_keeping *keeping,
	const struct custody_trial *trial, struct custody_acceptance *acceptance,
	struct custody_persisted *persisted, const char **status) MUST_CHECK;

/* Whether a commit whose answer was lost was one after all: the very token is there. */
int custody_keep_is_stored(
	const struct work *w, const struct custody *c, const struct custody_acceptance *acceptance);

/* A refusal, as it stands in the audit trail. */
struct custody_declined {
	const char *action; /* "token.override_refused", "token.undone" */
	const char *client;
	int64_t connection_id;
	const char *reason;
	const struct custody_trial *trial;
	int64_t generation; /* that was meant, of an undo; 0: none */
};

/* Writes the event of a refusal, on a unit of work of its own. Returns err, as it was. */
enum err custody_keep_declined(struct work *w, const struct custody *c,
	const struct custody_declined *declined, enum err err);

#endif
