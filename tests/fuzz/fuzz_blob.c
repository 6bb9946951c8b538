/*
 * A sealed blob out of a database that somebody else may write to. Only what was sealed for this
 * place opens; the seeds hold one such blob, whose content is known.
 */
#include "fuzz.h"

#include "base/log.h"
#include "base/text.h"
#include "vault/seal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RING_MAX_BYTES 65536

/* The text that tests/golden/seal-v1/blobs.txt says is inside. */
#define CONTENT "1000.8f2e6f0c7d5b4a39c1d2e3f405162738.9a8b7c6d5e4f30211203f4e5d6c7b8a9"

/* The golden ring, in a folder and with a mode as the keyring wants them. */
static struct vault_keyring *load(void)
{
	char folder[] = "/tmp/vestal-fuzz-XXXXXX", path[64], text[RING_MAX_BYTES];
	char *source = fuzz_source("tests/golden/seal-v1/token.ring");
	FILE *file = fopen(source, "rbe");
	struct vault_keyring *keyring = NULL;
	struct work w;
	size_t n;
	int fd;

	FUZZ_MUST(file && mkdtemp(folder));
	n = fread(text, 1, sizeof(text), file);
	FUZZ_MUST(feof(file) && fclose(file) == 0);
	snprintf(path, sizeof(path), "%s/token.ring", folder);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FUZZ_MUST(fd >= 0 && write(fd, text, n) == (ssize_t)n && close(fd) == 0);
	/* the folder is gone soon, and each blob of another key has it looked for */
	log_init("fuzz", (enum log_level)(LOG_ERROR + 1));
	work_begin(&w, 60000);
	FUZZ_MUST(vault_keyring_load(&w, folder, VAULT_RING_BIT(VAULT_RING_TOKEN), &keyring) ==
		  ERR_OK);
	work_end(&w);
	FUZZ_MUST(unlink(path) == 0 && rmdir(folder) == 0);
	free(source);
	return keyring;
}

static const struct vault_binding binding = {"token", "acme", "zoho_crm", "refresh_token", 1};

/* Without this, nothing that opens at all would go unnoticed. */
static void check_good(const struct vault_keyring *keyring)
{
	char *path = fuzz_source("tests/fuzz/seeds/blob/good");
	FILE *file = fopen(path, "rbe");
	unsigned char bytes[1024];
	struct vault_blob blob = {bytes, 0};
	struct secret *plain = NULL;
	struct work w;

	FUZZ_MUST(file);
	blob.n = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	work_begin(&w, 60000);
	FUZZ_MUST(
		vault_seal_open(&w, keyring, VAULT_RING_TOKEN, &binding, &blob, &plain) == ERR_OK);
	FUZZ_MUST(text_equal(secret_reveal(plain), CONTENT));
	work_end(&w);
	free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct vault_keyring *keyring;
	const struct vault_blob blob = {(unsigned char *)(uintptr_t)data, n};
	struct secret *plain = NULL;
	struct work w;
	enum err err;

	fuzz_start();
	if (!keyring) {
		keyring = load();
		check_good(keyring);
	}
	work_begin(&w, 60000);
	err = vault_seal_open(&w, keyring, VAULT_RING_TOKEN, &binding, &blob, &plain);
	FUZZ_MUST(err == ERR_OK || err == ERR_SEALED || err == ERR_KEY_UNKNOWN ||
		  err == ERR_NO_MEMORY);
	FUZZ_MUST(!err == (plain != NULL));
	if (plain)
		FUZZ_MUST(text_equal(secret_reveal(plain), CONTENT));
	FUZZ_MUST(n >= 102 || vault_seal_key_id(&blob) == 0);
	work_end(&w);
	return 0;
}
