/*
 * Whose account a token belongs to. The account behind a grant is pinned at the first authorization
 * where the definition names an identity call; from then on no other account gets past it, unless
 * an administrator accepts that one by its fingerprint.
 *
 * Where the account cannot be learned (the call is away, or refused, as without its scope):
 * pinned already: nothing is taken into custody, ERR_PROVIDER_UNAVAILABLE, so that no outage lets
 * another account in; not pinned yet: the token is accepted unpinned, which the log and the audit
 * event say, and the next one pins. A renewal asks nothing: it goes on with a grant that was
 * compared when it came; whoever proves tokens in use now and then compares them, too
 * (custody_account_note()).
 */
#ifndef VESTAL_CUSTODY_ACCOUNT_H
#define VESTAL_CUSTODY_ACCOUNT_H

#include "custody/app.h"

/*
 * Asks whose account a proved token belongs to, where the definition names a call for it. *account
 * is for comparing only: provider, data centre and the provider's own name of the account. It is
 * kept as a secret, for such names are short enough to be tried out; what is stored and told is its
 * fingerprint (vault/fingerprint.h). NULL: there is no such call, or it told nothing, which is
 * logged; custody_accept() decides what that means. Returns: ERR_CONFIG, ERR_BUG, ERR_NO_MEMORY.
 * Owns: the work.
 */
enum err custody_account_ask(struct work *w, const struct custody *c, const struct custody_app *app,
	const struct secret *access, const struct secret **account) MUST_CHECK;

/*
 * The account in an answer to oauth_probe_identity_request(), for whoever sends it himself; NULL
 * when it holds none or the secure heap is full. Owns: the work.
 */
const struct secret *custody_account_read(
	struct work *w, const struct oauth_target *target, const struct oauth_http_answer *answer);

enum custody_account_is {
	CUSTODY_ACCOUNT_UNKNOWN, /* nothing to compare: not told */
	CUSTODY_ACCOUNT_FIRST,   /* told, and none is pinned */
	CUSTODY_ACCOUNT_SAME,
	CUSTODY_ACCOUNT_OTHER,
	CUSTODY_ACCOUNT_UNREADABLE, /* the key of the pinned fingerprint is not there any more */
};

/* Compares an account (or NULL) with a pinned fingerprint (or NULL), made under whichever key. */
enum custody_account_is custody_account_compare(
	const struct custody *c, const char *pinned, const struct secret *account);

/*
 * Whether a token of that account may be taken into custody where `pinned` stands; accepted: the
 * fingerprint of another account that an administrator accepts, or NULL. Pure, so that a trial can
 * say beforehand what custody_accept() would. Returns: ERR_ACCOUNT_CHANGED (its answer carries both
 * fingerprints as "pinned" and "found"), also when the key of the pinned one is gone;
 * ERR_PROVIDER_UNAVAILABLE (pinned, to be asked, and not told); ERR_KEY_UNKNOWN.
 */
enum err custody_account_check(struct work *w, const struct custody *c,
	const struct oauth_provider *provider, const char *pinned, const struct secret *account,
	const char *accepted) MUST_CHECK;

/* Whether a text can be the fingerprint of an account at all. */
int custody_account_is_fingerprint(const char *text);

/* A token in use, and whose it was found to be. */
struct custody_account_seen {
	int64_t connection_id, generation;
	const char *client, *provider;
	const struct secret *account; /* or NULL */
};

/*
 * For a check of tokens in use. Locks the connection and compares the account with the pinned one;
 * where none is pinned it pins, with the event of it. Another account is for the caller to report:
 * what serves there is not what an administrator let in, so the cause is "our_fault" (investigate)
 * with the code "account_changed"; *is is CUSTODY_ACCOUNT_OTHER then. A token that was replaced
 * meanwhile says nothing (CUSTODY_ACCOUNT_UNKNOWN). Within a transaction. Returns:
 * ERR_CONNECTION_UNKNOWN, ERR_KEY_UNKNOWN and the database's errors.
 */
enum err custody_account_note(struct work *w, struct store_db *db, const struct custody *c,
	const struct custody_account_seen *seen, enum custody_account_is *is) MUST_CHECK;

/* {"pinned", "found"}, as the trail keeps them; either may be NULL. Owns: the work. */
const char *custody_account_detail(struct work *w, const char *pinned, const char *found);

#endif
