/* From a trial to custody: what an override and an undo have in common. */
#ifndef VESTAL_CUSTODY_KEEP_H
#define VESTAL_CUSTODY_KEEP_H

#include "custody/accept.h"
#include "custody/distribute.h"
#include "custody/trial.h"

/*
 * Stores what a trial proved, as custody_accept(), and distributes it: connection_id, client,
 * kept_json, action, reason and what a caller adds are his, the rest is the trial's. A commit whose
 * answer was lost is looked for, and made again if it was none. Returns what custody_accept() does;
 * a store outside that fails is no error.
 */
enum err custody_keep(struct work *w, const struct custody *c, const struct custody_trial *trial,
	struct custody_acceptance *acceptance, struct custody_persisted *persisted,
	const char **status) MUST_CHECK;

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
