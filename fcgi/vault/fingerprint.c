/* Keyed fingerprints. It decides their form and their key; who is told them is not its business. */
#include "vault/fingerprint.h"

#include "vault/crypto.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INFO "vestal/fingerprint/v1"
#define ID_DIGITS 8
#define MAC_BYTES 16

static int print(const struct vault_key *key, const struct secret *s,
	char text[VAULT_FINGERPRINT_DIGITS + 1])
{
	unsigned char mac_key[VAULT_KEY_BYTES], mac[VAULT_HASH_BYTES];
	enum err err = vault_crypto_hkdf_sha256(secret_reveal(key->key), secret_len(key->key), NULL,
		0, INFO, strlen(INFO), mac_key, sizeof(mac_key));

	if (!err)
		err = vault_crypto_hmac_sha256(
			mac_key, sizeof(mac_key), secret_reveal(s), secret_len(s), mac);
	OPENSSL_cleanse(mac_key, sizeof(mac_key));
	if (err)
		return 0;
	snprintf(text, ID_DIGITS + 1, "%08" PRIx32, key->id);
	for (size_t i = 0; i < MAC_BYTES; i++)
		snprintf(text + ID_DIGITS + i * 2, 3, "%02x", mac[i]);
	return 1;
}

const char *vault_fingerprint(struct work *w, const struct vault_keyring *k, const struct secret *s)
{
	const struct vault_key *key = vault_keyring_primary(k, VAULT_RING_TOKEN);
	char *text = work_alloc(w, VAULT_FINGERPRINT_DIGITS + 1);

	return key && print(key, s, text) ? text : NULL;
}

static const struct vault_key *key_of(const struct vault_keyring *k, const char *fingerprint)
{
	char id[ID_DIGITS + 1];

	if (strlen(fingerprint) != VAULT_FINGERPRINT_DIGITS)
		return NULL;
	memcpy(id, fingerprint, ID_DIGITS);
	id[ID_DIGITS] = '\0';
	return vault_keyring_find(k, VAULT_RING_TOKEN, (uint32_t)strtoul(id, NULL, 16));
}

int vault_fingerprint_is_known(const struct vault_keyring *k, const char *fingerprint)
{
	return key_of(k, fingerprint) != NULL;
}

int vault_fingerprint_matches(
	const struct vault_keyring *k, const char *fingerprint, const struct secret *s)
{
	const struct vault_key *key = key_of(k, fingerprint);
	char text[VAULT_FINGERPRINT_DIGITS + 1];

	return key && print(key, s, text) &&
	       vault_crypto_equal(text, fingerprint, VAULT_FINGERPRINT_DIGITS);
}
