/* How a token is bound to its place: client, provider, column and generation. */
#include "custody/token.h"

#include "vault/fingerprint.h"
#include "vault/seal.h"

static struct vault_binding binding_of(const struct custody_token_place *place)
{
	return (struct vault_binding){
		.purpose = "token",
		.client = place->client,
		.provider = place->provider,
		.column = place->column,
		.generation = place->generation,
	};
}

enum err custody_token_seal(struct work *w, const struct custody *c,
	const struct custody_token_place *place, const struct secret *token,
	struct store_sealed *sealed, const char **fingerprint)
{
	const struct vault_binding binding = binding_of(place);
	struct vault_blob blob;
	enum err err = vault_seal_close(w, c->keyring, VAULT_RING_TOKEN, &binding, token, &blob);

	if (err)
		return err;
	*sealed = (struct store_sealed){blob.bytes, blob.n};
	*fingerprint = vault_fingerprint(w, c->keyring, token);
	return *fingerprint ? ERR_OK : ERR_KEY_UNKNOWN;
}

enum err custody_token_open(struct work *w, const struct custody *c,
	const struct custody_token_place *place, const struct store_sealed *sealed,
	struct secret **token)
{
	const struct vault_binding binding = binding_of(place);
	const struct vault_blob blob = {(unsigned char *)(uintptr_t)sealed->bytes, sealed->n};

	*token = NULL;
	return sealed->bytes
		       ? vault_seal_open(w, c->keyring, VAULT_RING_TOKEN, &binding, &blob, token)
		       : ERR_OK;
}
