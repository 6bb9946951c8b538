/* The code verifier between the start of a flow and its callback. */
#ifndef VESTAL_CUSTODY_ATTEMPT_H
#define VESTAL_CUSTODY_ATTEMPT_H

#include "custody/custody.h"
#include "vault/seal.h"

/* Seals a verifier so that it opens for this flow alone. state_hash: 32 bytes. */
enum err custody_attempt_seal(struct work *w, const struct custody *c, const char *client,
	const char *provider, const unsigned char *state_hash, const struct secret *verifier,
	struct vault_blob *blob) MUST_CHECK;

/* Opens it again. Returns: ERR_SEALED, ERR_KEY_UNKNOWN. */
enum err custody_attempt_open(struct work *w, const struct custody *c, const char *client,
	const char *provider, const unsigned char *state_hash, const struct vault_blob *blob,
	struct secret **verifier) MUST_CHECK;

#endif
