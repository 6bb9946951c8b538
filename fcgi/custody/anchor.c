/* Checkpoint files. It decides which file a note goes to, and when it is durable. */
#include "custody/anchor.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "checkpoints"
#define SUFFIX ".checkpoints"
#define DAY_CHARS 10
#define FILE_MAX_BYTES ((size_t)32 * 1024 * 1024)
#define FILES_MAX 100000
#define NOTES_AT_ONCE 500
#define OWN_BUDGET_MS 600000

enum err custody_anchor_open(struct work *w, const struct conf *conf, int create, int *fd)
{
	const char *path = work_printf(w, "%s/" FOLDER, conf_text(conf, CONF_state_dir));
	struct stat info;
	enum err err;

	if (!create && stat(path, &info) < 0 && errno == ENOENT)
		return ERR_NOT_FOUND;
	err = file_open_dir(w, AT_FDCWD, path, create, 0755, fd);
	while (!err && create && flock(*fd, LOCK_EX) < 0)
		if (errno != EINTR)
			err = work_cause(w, ERR_IO, "flock: %s", strerrorname_np(errno));
	return err ? work_fail(w, err, "%s cannot be used (%s)", path, w->cause ? w->cause : "")
		   : ERR_OK;
}

/* "YYYY-MM-DD.checkpoints" */
static int is_ours(const char *name)
{
	return strlen(name) == DAY_CHARS + strlen(SUFFIX) &&
	       strspn(name, "0123456789-") == DAY_CHARS && text_equal(name + DAY_CHARS, SUFFIX);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum err list_files(struct work *w, int fd, const char ***names, size_t *n)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;

	*n = 0;
	*names = work_alloc(w, FILES_MAX * sizeof(**names));
	if (!dir) {
		if (copy >= 0)
			close(copy);
		return work_cause(w, ERR_IO, "opendir: %s", strerrorname_np(errno));
	}
	while (*n < FILES_MAX && (entry = readdir(dir)))
		if (is_ours(entry->d_name))
			(*names)[(*n)++] = work_strdup(w, entry->d_name);
	closedir(dir);
	qsort(*names, *n, sizeof(**names), by_name);
	return ERR_OK;
}

enum err custody_anchor_each(struct work *w, int fd, custody_anchor_fn *fn, void *context)
{
	const char **names;
	size_t count;
	enum err err = list_files(w, fd, &names, &count);

	for (size_t i = 0; !err && i < count; i++) {
		struct work own;
		char *bytes = NULL;
		size_t n = 0;

		work_begin(&own, OWN_BUDGET_MS);
		err = file_read(&own, fd, names[i], FILE_MAX_BYTES, &bytes, &n);
		if (err)
			work_fail(w, err, FOLDER "/%s cannot be read", names[i]);
		else
			err = fn(w, names[i], bytes, n, context);
		work_end(&own);
	}
	return err;
}

/* The last note of a file. */
static enum err last_note(struct work *w, const char *file, const char *bytes, size_t n,
	struct custody_anchor *newest)
{
	struct vault_note note = {.whole = bytes};
	struct custody_checkpoint checkpoint;
	size_t at = 0;

	while (at < n && vault_note_take(bytes + at, n - at, &note))
		at += note.whole_n;
	if (at < n || !n || !custody_checkpoint_read(w, &note, &checkpoint))
		return work_fail(w, ERR_CONFLICT,
			FOLDER
			"/%s does not end with a whole checkpoint; verify, then move it away",
			file);
	*newest = (struct custody_anchor){.number = checkpoint.number,
		.size = checkpoint.size,
		.note = work_printf(w, "%.*s", (int)note.whole_n, note.whole),
		.file = work_strdup(w, file)};
	return ERR_OK;
}

enum err custody_anchor_newest(struct work *w, int fd, struct custody_anchor *newest)
{
	const char **names;
	char *bytes = NULL;
	size_t count, n = 0;
	enum err err = list_files(w, fd, &names, &count);

	*newest = (struct custody_anchor){.number = 0};
	if (err || !count)
		return err;
	err = file_read(w, fd, names[count - 1], FILE_MAX_BYTES, &bytes, &n);
	return err ? err : last_note(w, names[count - 1], bytes, n, newest);
}

static void tell(struct work *w, const char *text)
{
	struct vault_note note;
	struct custody_checkpoint c;

	if (vault_note_take(text, strlen(text), &note) && custody_checkpoint_read(w, &note, &c))
		log_event(LOG_INFO, "audit.checkpoint", LOG_TEXT("origin", c.origin),
			LOG_INT("number", c.number), LOG_INT("size", c.size),
			LOG_TEXT("root", text_base64(w, c.root, sizeof(c.root))),
			LOG_TEXT("signature",
				work_printf(w, "%.*s", (int)note.signature_n, note.signature)));
}

/* Adds the rows from *row on that belong to one day. A day that is before the newest file's, by a
 * clock that went back, goes to the newest: the order of names stays the order of numbers. */
static enum err write_day(
	struct work *w, int fd, const struct store_rows *rows, int *row, const char **newest_day)
{
	const char *said = store_get_text(rows, *row, 2);
	const char *day = *newest_day && strcmp(said, *newest_day) < 0 ? *newest_day : said;
	const char *name = work_printf(w, "%s" SUFFIX, day);
	int first = *row;
	struct buf text;
	char *bytes = NULL;
	size_t n = 0;
	enum err err = file_read(w, fd, name, FILE_MAX_BYTES, &bytes, &n);

	if (err && err != ERR_NOT_FOUND)
		return err;
	buf_init(&text, w, FILE_MAX_BYTES);
	buf_add(&text, bytes, n);
	for (; *row < store_count(rows) && text_equal(store_get_text(rows, *row, 2), said); ++*row)
		buf_text(&text, store_get_text(rows, *row, 1));
	if (text.overflow)
		return work_cause(w, ERR_IO, "a day's file is too large");
	err = file_replace(w, fd, name, text.data, text.len, 0644, (gid_t)-1);
	for (int i = first; !err && i < *row; i++)
		tell(w, store_get_text(rows, i, 1));
	*newest_day = day;
	return err;
}

/* One batch of notes, in a unit of work of its own. *after: the last that is written. */
static enum err write_some(
	struct work *w, int fd, struct store_db *db, struct custody_anchor *newest, int64_t *after)
{
	const char *day = newest->file ? work_printf(w, "%.10s", newest->file) : NULL;
	struct store_rows *rows = NULL;
	enum err err = store_seal_notes(w, db, *after, NOTES_AT_ONCE, &rows);
	int row = 0;

	if (err || !store_count(rows)) {
		*after = 0;
		return err;
	}
	while (!err && row < store_count(rows))
		err = write_day(w, fd, rows, &row, &day);
	*after = store_get_int(rows, store_count(rows) - 1, 0);
	return err;
}

enum err custody_anchor_write(struct work *w, int fd, struct store_db *db)
{
	int64_t after = -1;
	enum err err = ERR_OK;

	while (!err && after) {
		struct custody_anchor newest;
		struct work own;

		work_begin(&own, OWN_BUDGET_MS);
		err = custody_anchor_newest(&own, fd, &newest);
		after = newest.number;
		if (!err)
			err = write_some(&own, fd, db, &newest, &after);
		if (err)
			work_fail(w, err, "%s",
				own.detail ? own.detail : "a checkpoint file cannot be written");
		if (err && own.cause)
			work_cause(w, err, "%s", own.cause);
		work_end(&own);
	}
	return err;
}
