/* What stands in the spool about a renewal, as text and back. The spool seals it and knows nothing
 * of it. */
#ifndef VESTAL_CUSTODY_JOURNAL_H
#define VESTAL_CUSTODY_JOURNAL_H

#include "base/secret.h"
#include "store/renewal.h"

/* A token that a provider has just given, on its way into the database. Texts that may be NULL say
 * so. */
struct custody_fresh {
	int64_t connection_id, fence, from, to; /* generations */
	const char *client, *provider;
	const struct secret *access;
	const struct secret *refresh; /* the new one, or the one that is kept */
	const char *token_type;
	int64_t lifetime_s, refresh_lifetime_s, idle_ttl_s;
	const char *asked_at;
	const char *api_domain, *scope; /* or NULL */
	const char *scope_is;
	int64_t margin_s, late_s;
	const char *why;
};

/* Returns: ERR_NO_MEMORY when the secure heap is full. Owns: the work. */
enum err custody_journal_intent(struct work *w, const struct store_claim *claim, const char *why,
	struct secret **intent) MUST_CHECK;
enum err custody_journal_answer(
	struct work *w, const struct custody_fresh *fresh, struct secret **answer) MUST_CHECK;

/* Reads an answer back. Returns: ERR_SEALED when it is none, ERR_NO_MEMORY. Owns: the work. */
enum err custody_journal_read(
	struct work *w, const struct secret *answer, struct custody_fresh *fresh) MUST_CHECK;

#endif
