/* What the vault's tests share. */
#include "support.h"

#include "base/buf.h"
#include "base/text.h"
#include "vault/crypto.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES ((size_t)1024 * 1024)

char *support_dir(void)
{
	const char *tmp = getenv("TMPDIR");
	char *dir = NULL;

	assert_true(asprintf(&dir, "%s/vestal-vault-XXXXXX", tmp ? tmp : "/tmp") > 0);
	assert_non_null(mkdtemp(dir));
	return dir;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *at)
{
	(void)info;
	(void)type;
	(void)at;
	return remove(path);
}

void support_remove(char *dir)
{
	assert_int_equal(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	free(dir);
}

void support_write(const char *dir, const char *name, const void *bytes, size_t n, mode_t mode)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), (ssize_t)n);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

char *support_read(struct work *w, const char *dir, const char *name, size_t *n)
{
	const char *path = work_printf(w, "%s/%s", dir, name);
	char *text = work_alloc(w, FILE_MAX_BYTES);
	FILE *file = fopen(path, "rbe");

	if (!file)
		fail_msg("%s cannot be read", path);
	*n = fread(text, 1, FILE_MAX_BYTES - 1, file);
	assert_true(feof(file));
	fclose(file);
	return text;
}

char *support_golden(struct work *w, const char *name, size_t *n)
{
	const char *srcdir = getenv("srcdir");

	return support_read(w, work_printf(w, "%s/tests/golden", srcdir ? srcdir : "."), name, n);
}

unsigned char *support_unhex(struct work *w, const char *hex, size_t *n)
{
	unsigned char *bytes = text_unhex(w, text_equal(hex, "-") ? "" : hex, n);

	assert_non_null(bytes);
	return bytes;
}

size_t support_lines(
	struct work *w, const char *name, size_t words, void (*each)(struct work *w, char **word))
{
	size_t n, lines = 0;
	char *rest, *text = support_golden(w, name, &n);

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *word[SUPPORT_FIELDS_MAX], *more = NULL;
		size_t got = 0;

		if (line[0] == '#')
			continue;
		for (char *at = strtok_r(line, " ", &more); at; at = strtok_r(NULL, " ", &more)) {
			assert_true(got < SUPPORT_FIELDS_MAX);
			word[got++] = at;
		}
		assert_int_equal(got, words);
		each(w, word);
		lines++;
	}
	return lines;
}

static const char *ring_tag(struct work *w, const char *primary_key, const struct buf *covered)
{
	unsigned char key[32], mac[32];
	size_t n;
	const unsigned char *bytes = support_unhex(w, primary_key, &n);

	assert_int_equal(
		vault_crypto_hkdf_sha256(bytes, n, "", 0, "vestal/ring-mac/v1", 18, key, 32),
		ERR_OK);
	assert_int_equal(
		vault_crypto_hmac_sha256(key, 32, covered->data, covered->len, mac), ERR_OK);
	return text_hex(w, mac, 32);
}

char *support_ring(struct work *w, const char *ring, const char *primary,
	const struct support_key *keys, size_t n, const char *extra)
{
	const char *primary_key = "00";
	struct buf json, covered;

	buf_init(&json, w, 65536);
	buf_init(&covered, w, 65536);
	buf_printf(&json,
		"{\"format\":\"vestal-ring-1\",\"ring\":\"%s\",\"primary\":\"%s\",\"keys\":[", ring,
		primary);
	buf_printf(&covered, "vestal-ring-1\n%s\n%s\n", ring, primary);
	for (size_t i = 0; i < n; i++) {
		buf_printf(&json, "%s{\"id\":\"%s\",\"status\":\"%s\",\"created\":\"%s\"",
			i ? "," : "", keys[i].id, keys[i].status, keys[i].created);
		if (keys[i].key)
			buf_printf(&json, ",\"key\":\"%s\"", keys[i].key);
		buf_char(&json, '}');
		buf_printf(&covered, "%s %s %s %s\n", keys[i].id, keys[i].status, keys[i].created,
			keys[i].key ? keys[i].key : "-");
		if (text_equal(keys[i].id, primary) && keys[i].key)
			primary_key = keys[i].key;
	}
	buf_printf(&json, "],%s\"mac\":\"%s\"}", extra, ring_tag(w, primary_key, &covered));
	return json.data;
}

void support_one_key(const char *dir, const char *file, const char *id)
{
	unsigned char bytes[32];
	struct support_key key = {id, "enabled", "2026-01-31T12:00:00Z", NULL};
	char *text;
	struct work w;

	work_begin(&w, SUPPORT_BUDGET_MS);
	assert_int_equal(vault_crypto_sha256(id, strlen(id), bytes), ERR_OK);
	key.key = text_hex(&w, bytes, 32);
	text = support_ring(&w, file, id, &key, 1, "");
	support_write(dir, work_printf(&w, "%s.ring", file), text, strlen(text), 0600);
	work_end(&w);
}

void support_golden_ring(const char *dir, const char *ring)
{
	struct work w;
	size_t n;
	char *text;

	work_begin(&w, SUPPORT_BUDGET_MS);
	text = support_golden(&w, work_printf(&w, "seal-v1/%s.ring", ring), &n);
	support_write(dir, work_printf(&w, "%s.ring", ring), text, n, 0600);
	work_end(&w);
}

struct vault_keyring *support_load(struct work *w, const char *dir, unsigned rings_mask)
{
	struct vault_keyring *keyring = NULL;
	enum err err = vault_keyring_load(w, dir, rings_mask, &keyring);

	if (err)
		fail_msg("%s: %s", err_slug(err), w->detail ? w->detail : "");
	return keyring;
}

struct secret *support_secret(struct work *w, const char *text)
{
	struct secret *secret = secret_new(w, text, strlen(text));

	assert_non_null(secret);
	return secret;
}
