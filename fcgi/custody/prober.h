/*
 * Asking providers whether tokens live: a batch of connections at a time, many of them at once. It
 * keeps away from a provider that does not answer, renews what a probe finds dead, and asks again.
 * Nothing of it is written here, but renewals.
 */
#ifndef VESTAL_CUSTODY_PROBER_H
#define VESTAL_CUSTODY_PROBER_H

#include "custody/custody.h"
#include "custody/proof.h"
#include "store/check.h"

#include <signal.h>

struct custody_prober;

struct custody_probing {
	size_t concurrency;
	int64_t deadline_ms;               /* on the monotonic clock: no probe begins after it */
	const volatile sig_atomic_t *stop; /* the same as soon as it is not 0; or NULL */
};

/* Owns: the work, which lives as long as what it asks for. */
struct custody_prober *custody_prober_new(
	struct work *w, const struct custody *c, const struct custody_probing *probing);

int custody_prober_must_stop(const struct custody_prober *prober);

/* A connection, and what was found. */
struct custody_probed {
	struct store_checked row;   /* of the token that was asked last */
	const char *status, *cause; /* before the check */
	struct custody_proof proof;
	char code[OAUTH_CODE_MAX_BYTES + 1]; /* a closed word; "" when all is well */
	int scope_is_whole;
	int is_provider_away; /* nobody there gets an answer: not this connection's own trouble */
	int is_left;          /* there was no time */
	const struct secret *account; /* see custody/account.h; or NULL */
};

/* Whether there is anything to ask about a connection; proof and code say it when not. */
int custody_prober_would_ask(struct custody_prober *prober, struct custody_probed *probed);

/*
 * Asks for n connections, whose row is filled in; w: of the batch, with the deadline of renewals.
 * Returns the database's errors, ERR_BUG: then nothing is on its way any more.
 */
enum err custody_prober_ask(struct work *w, struct custody_prober *prober,
	struct custody_probed *probed, size_t n) MUST_CHECK;

#endif
