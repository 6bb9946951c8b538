/* Undoing: back to the grant that was there before the last override, re-authorization, import or
 * restore. */
#ifndef VESTAL_CUSTODY_UNDO_H
#define VESTAL_CUSTODY_UNDO_H

#include "custody/distribute.h"
#include "custody/place.h"

struct custody_undoing {
	const char *client, *provider, *reason;
	const struct custody_places *places; /* NULL: this program has none */
	/* answered */
	int64_t from, generation; /* in history, and what it has become */
	const char *status;
	struct custody_persisted persisted;
};

/*
 * Proves the newest token of that grant and puts it back as a new generation. Renewals are no
 * steps, and what was undone is not found again: the next undo goes one further back. A refresh
 * token that a rotation has used up is never sent. A refusal leaves an audit event, and the mark of
 * a refresh token that may be spent by now. Returns: ERR_INPUT (provider), ERR_CLIENT_UNKNOWN,
 * ERR_CONNECTION_UNKNOWN, ERR_NOTHING_TO_UNDO, ERR_CONFLICT (somebody else was first),
 * ERR_RENEWAL_DEFERRED (no place is free), and what custody_trial() and custody_accept() do.
 */
enum err custody_undo(
	struct work *w, const struct custody *c, struct custody_undoing *undoing) MUST_CHECK;

#endif
