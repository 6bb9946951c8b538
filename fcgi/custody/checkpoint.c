/* Checkpoints as text. It decides their form and where the keys are; when one is made its callers
 * do. */
#include "custody/checkpoint.h"

#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PUBLIC_NAME "audit.pub"
#define PUBLIC_MAX_BYTES ((size_t)64 * 1024)
#define LINES_MAX 6

enum err custody_checkpoint_sign(struct work *w, const struct vault_keyring *keyring,
	const struct custody_checkpoint *c, const char **note)
{
	struct buf text, out;
	enum err err;

	buf_init(&text, w, VAULT_NOTE_MAX_BYTES);
	buf_init(&out, w, VAULT_NOTE_MAX_BYTES);
	buf_printf(&text, "%s\n%" PRId64 "\n%s\nnumber %" PRId64 "\nat %s\n", c->origin, c->size,
		text_base64(w, c->root, sizeof(c->root)), c->number, c->at);
	if (c->pruned)
		buf_printf(&text, "pruned %s rows %" PRId64 " leaves %s export %s\n", c->pruned,
			c->pruned_rows, c->pruned_leaves, c->pruned_export);
	err = text.overflow ? ERR_BUG : vault_note_sign(w, keyring, c->origin, text.data, &out);
	*note = out.data;
	return err;
}

static const char *after(const char *line, const char *word)
{
	return line && text_starts(line, word) ? line + strlen(word) : NULL;
}

static int is_hash(const char *word)
{
	return word && strlen(word) == 2 * VAULT_HASH_BYTES;
}

/* "2026-01 rows 12 leaves HEX export HEX" */
static int read_pruned(char *line, struct custody_checkpoint *c)
{
	const char *words[7] = {NULL};

	for (size_t i = 0; i < 7; i++)
		words[i] = strsep(&line, " ");
	if (line || !text_equal(words[1], "rows") || !text_equal(words[3], "leaves") ||
		!text_equal(words[5], "export"))
		return 0;
	c->pruned = words[0];
	c->pruned_leaves = words[4];
	c->pruned_export = words[6];
	return strlen(words[0]) == 7 && text_to_int(words[2], 0, INT64_MAX, &c->pruned_rows) &&
	       is_hash(words[4]) && is_hash(words[6]);
}

int custody_checkpoint_read(
	struct work *w, const struct vault_note *note, struct custody_checkpoint *c)
{
	char *text = work_printf(w, "%.*s", (int)note->text_n, note->text), *lines[LINES_MAX + 1];
	const unsigned char *root;
	size_t n = 0, root_n = 0;

	*c = (struct custody_checkpoint){.origin = NULL};
	for (; n < LINES_MAX + 1 && text && *text; n++)
		lines[n] = strsep(&text, "\n");
	if (n < 5 || n > LINES_MAX)
		return 0;
	root = text_unbase64(w, lines[2], strlen(lines[2]), &root_n);
	c->origin = lines[0];
	c->at = after(lines[4], "at ");
	if (!root || root_n != sizeof(c->root) || !c->at ||
		!text_to_int(lines[1], 0, INT64_MAX, &c->size) || !after(lines[3], "number ") ||
		!text_to_int(after(lines[3], "number "), 1, INT64_MAX, &c->number))
		return 0;
	memcpy(c->root, root, sizeof(c->root));
	if (note->name_n != strlen(c->origin) || memcmp(note->name, c->origin, note->name_n) != 0)
		return 0;
	return n == 5 ||
	       (after(lines[5], "pruned ") && read_pruned(lines[5] + strlen("pruned "), c));
}

size_t custody_checkpoint_leaf_line(char line[CUSTODY_CHECKPOINT_LINE_BYTES], const char *leaf,
	const char *event, const char *at_us, const char *hash_hex)
{
	int n = snprintf(
		line, CUSTODY_CHECKPOINT_LINE_BYTES, "%s %s %s %s\n", leaf, event, at_us, hash_hex);

	return n > 0 && n < CUSTODY_CHECKPOINT_LINE_BYTES ? (size_t)n : 0;
}

/* --- keys ------------------------------------------------------------------------------------ */

const char *custody_checkpoint_key_dir(const struct conf *conf)
{
	const char *dir = conf_text(conf, CONF_audit_key_dir);

	return *dir ? dir : conf_text(conf, CONF_key_dir);
}

static enum err read_publics(struct work *w, int dir_fd, struct vault_publics *publics)
{
	char *text = NULL;
	size_t n = 0;
	enum err err = file_read(w, dir_fd, PUBLIC_NAME, PUBLIC_MAX_BYTES, &text, &n);

	return err ? err : vault_note_publics_parse(w, text, n, publics);
}

enum err custody_checkpoint_publics(
	struct work *w, const struct conf *conf, struct vault_publics *publics)
{
	const char *dir = custody_checkpoint_key_dir(conf);
	char *text = NULL;
	size_t n = 0;
	/* The folder may be closed to us where the file in it is not. */
	enum err err = file_read(
		w, AT_FDCWD, work_printf(w, "%s/" PUBLIC_NAME, dir), PUBLIC_MAX_BYTES, &text, &n);

	if (err == ERR_NOT_FOUND)
		return work_fail(w, ERR_KEY_UNKNOWN,
			"%s/" PUBLIC_NAME " is not there; vestalctl audit seal makes it", dir);
	return err ? err : vault_note_publics_parse(w, text, n, publics);
}

static enum err publish(struct work *w, const char *dir, const struct vault_keyring *keyring,
	struct vault_publics *publics)
{
	struct buf text;
	size_t added = 0;
	int dir_fd = -1;
	enum err err = file_open_dir(w, AT_FDCWD, dir, 0, 0, &dir_fd);

	if (!err)
		err = read_publics(w, dir_fd, publics);
	if (err == ERR_NOT_FOUND)
		err = ERR_OK;
	if (!err)
		err = vault_note_publics_of(w, keyring, publics, &added);
	if (err || !added)
		return err;
	buf_init(&text, w, PUBLIC_MAX_BYTES);
	vault_note_publics_format(w, publics, &text);
	return file_replace(w, dir_fd, PUBLIC_NAME, text.data, text.len, 0644, (gid_t)-1);
}

enum err custody_checkpoint_keys(struct work *w, const struct conf *conf,
	struct vault_keyring **keyring, struct vault_publics *publics)
{
	const char *dir = custody_checkpoint_key_dir(conf);
	enum err err = vault_keyring_load(w, dir, VAULT_RING_BIT(VAULT_RING_AUDIT), keyring);

	*publics = (struct vault_publics){.n = 0};
	if (!err)
		err = publish(w, dir, *keyring, publics);
	if (err) {
		vault_keyring_free(*keyring);
		*keyring = NULL;
	}
	return err;
}
