/* How a verifier is bound to its flow: by the hash of the flow's state. */
#include "custody/attempt.h"

#include "base/text.h"

static struct vault_binding binding_of(
	struct work *w, const char *client, const char *provider, const unsigned char *state_hash)
{
	return (struct vault_binding){
		.purpose = "attempt",
		.client = client,
		.provider = provider,
		.column = work_printf(w, "code_verifier/%s", text_hex(w, state_hash, 32)),
	};
}

enum err custody_attempt_seal(struct work *w, const struct custody *c, const char *client,
	const char *provider, const unsigned char *state_hash, const struct secret *verifier,
	struct vault_blob *blob)
{
	const struct vault_binding binding = binding_of(w, client, provider, state_hash);

	return vault_seal_close(w, c->keyring, VAULT_RING_SESSION, &binding, verifier, blob);
}

enum err custody_attempt_open(struct work *w, const struct custody *c, const char *client,
	const char *provider, const unsigned char *state_hash, const struct vault_blob *blob,
	struct secret **verifier)
{
	const struct vault_binding binding = binding_of(w, client, provider, state_hash);

	return vault_seal_open(w, c->keyring, VAULT_RING_SESSION, &binding, blob, verifier);
}
