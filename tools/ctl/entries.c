/*
 * Reading files of entries. It decides what such a file looks like; what the values mean is the
 * command's. They may be secrets: no fault repeats any, nor a column's name that could be one.
 */
#include "ctl/entries.h"

#include "base/buf.h"
#include "base/jin.h"
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)64 * 1024)
#define NAME_MAX_BYTES 32
#define END (-1)

struct ctl_entries {
	int fd;
	const char *const *names;
	int is_json, has_begun;
	unsigned char *chunk;
	size_t at, n;
	off_t read_to;
	int64_t line;
	int columns[CTL_ENTRY_FIELDS_MAX]; /* of a CSV: the place of each among the names */
	size_t column_count;
	int io_errno;
};

/* --- characters ------------------------------------------------------------------------------- */

static int peek(struct ctl_entries *e)
{
	ssize_t got;

	if (e->at < e->n)
		return e->chunk[e->at];
	do
		got = pread(e->fd, e->chunk, CHUNK_BYTES, e->read_to);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		e->io_errno = errno;
	if (got <= 0)
		return END;
	e->at = 0;
	e->n = (size_t)got;
	e->read_to += got;
	return e->chunk[0];
}

static int take(struct ctl_entries *e)
{
	int c = peek(e);

	if (c == END)
		return END;
	e->at++;
	e->line += c == '\n';
	return c;
}

static int skip_space(struct ctl_entries *e)
{
	int c;

	while ((c = peek(e)) != END && strchr(" \t\r\n", c) && c)
		take(e);
	return c;
}

static enum err broken(struct work *w, const struct ctl_entries *e, const char *what)
{
	if (e->io_errno)
		return work_fail(w, ERR_IO, "the file cannot be read: %s", strerror(e->io_errno));
	return work_fail(w, ERR_CONFIG, "line %lld: %s", (long long)e->line, what);
}

/* --- fields ----------------------------------------------------------------------------------- */

static int place_of(const struct ctl_entries *e, const char *name)
{
	for (int i = 0; e->names[i]; i++)
		if (text_equal(e->names[i], name))
			return i;
	return END;
}

/* A name, when it can be told: one with digits could be a token in the wrong place. */
static const char *tellable(struct work *w, const char *name, size_t number)
{
	size_t n = strlen(name);
	int is_word = n > 0 && n <= NAME_MAX_BYTES;

	for (size_t i = 0; is_word && i < n; i++)
		is_word = isalpha((unsigned char)name[i]) || name[i] == '_';
	return is_word ? name : work_printf(w, "column %zu", number);
}

static const char *all_names(struct work *w, const struct ctl_entries *e)
{
	const char *all = e->names[0];

	for (size_t i = 1; e->names[i]; i++)
		all = work_printf(w, "%s, %s", all, e->names[i]);
	return all;
}

/* An empty value is none. */
static void put(struct work *w, const struct ctl_entries *e, struct ctl_entry *entry, int place,
	const char *value)
{
	if (text_has_control(value))
		(void)work_fail_field(
			w, e->names[place], "holds a control character, or is no UTF-8");
	else if (*value)
		entry->values[place] = value;
}

/* --- JSON ------------------------------------------------------------------------------------- */

/* The text of one object, from its brace to the one that closes it. */
static enum err take_object(struct work *w, struct ctl_entries *e, struct buf *text)
{
	int depth = 0, in_string = 0, c;

	do {
		c = take(e);
		if (c == END)
			return broken(w, e, "the file ends within an entry");
		buf_char(text, (char)c);
		if (in_string && c == '\\') {
			c = take(e);
			buf_char(text, (char)c);
		} else if (c == '"')
			in_string = !in_string;
		else if (!in_string)
			depth += (c == '{' || c == '[') - (c == '}' || c == ']');
	} while (depth > 0 || in_string);
	return text->overflow ? broken(w, e, "the entry is larger than 64 KiB") : ERR_OK;
}

static void put_member(struct work *w, const struct ctl_entries *e, struct ctl_entry *entry,
	const char *name, const json_t *value, size_t number)
{
	int place = place_of(e, name);

	if (place == END)
		(void)work_fail_field(
			w, tellable(w, name, number), "is none of %s", all_names(w, e));
	else if (json_is_string(value))
		put(w, e, entry, place, json_string_value(value));
	else if (json_is_integer(value))
		put(w, e, entry, place,
			work_printf(w, "%" JSON_INTEGER_FORMAT, json_integer_value(value)));
	else if (json_is_boolean(value))
		put(w, e, entry, place, json_is_true(value) ? "true" : "false");
	else if (!json_is_null(value))
		(void)work_fail_field(
			w, e->names[place], "is neither a text nor a whole number, true or false");
}

static enum err read_object(struct work *w, struct ctl_entries *e, struct ctl_entry *entry)
{
	const char *repeated = NULL, *name;
	size_t number = 0;
	json_t *object, *value;
	struct buf text;
	enum err err;

	buf_init(&text, w, CTL_ENTRY_MAX_BYTES);
	err = take_object(w, e, &text);
	if (err)
		return err;
	object = jin_parse_object(w, text.data, text.len, &repeated);
	if (repeated)
		return work_fail_field(w, tellable(w, repeated, 0), "is there twice");
	if (!object)
		return broken(w, e, "an entry is no JSON object");
	json_object_foreach(object, name, value) put_member(w, e, entry, name, value, ++number);
	return w->fault_count ? ERR_INPUT : ERR_OK;
}

/* Up to the next entry's beginning; *is_end: there is none. */
static enum err find_object(struct work *w, struct ctl_entries *e, int *is_end)
{
	int c = skip_space(e);

	if (c != (e->has_begun ? ',' : '[') && !(e->has_begun && c == ']'))
		return broken(w, e,
			e->has_begun ? "a comma or the end of the array is expected"
				     : "a JSON array of objects is expected");
	*is_end = c == ']';
	take(e);
	c = skip_space(e);
	if (!e->has_begun && c == ']') {
		*is_end = 1;
		take(e);
		c = skip_space(e);
	}
	e->has_begun = 1;
	if (*is_end ? c != END || e->io_errno : c != '{')
		return broken(w, e,
			*is_end ? "something stands behind the array" : "an object is expected");
	return ERR_OK;
}

static enum err next_object(struct work *w, struct ctl_entries *e, struct ctl_entry *entry)
{
	int is_end = 0;
	enum err err = find_object(w, e, &is_end);

	if (err || is_end)
		return err ? err : ERR_NOT_FOUND;
	entry->line = e->line;
	return read_object(w, e, entry);
}

/* --- CSV -------------------------------------------------------------------------------------- */

/* Up to the comma or the end of the line. Source: RFC 4180 section 2. */
static enum err take_value(struct work *w, struct ctl_entries *e, const char **value)
{
	struct buf text;
	int is_quoted = peek(e) == '"', c;

	buf_init(&text, w, CTL_ENTRY_MAX_BYTES);
	if (is_quoted)
		take(e);
	while ((c = peek(e)) != END && (is_quoted || !strchr(",\r\n", c) || !c)) {
		take(e);
		if (!c)
			return broken(w, e, "a NUL character stands there");
		if (c == '"' && (!is_quoted || peek(e) != '"')) {
			if (!is_quoted)
				return broken(w, e, "a quotation mark stands within a value");
			is_quoted = 2;
			break;
		}
		if (c == '"')
			take(e);
		buf_char(&text, (char)c);
	}
	if (is_quoted == 1)
		return broken(w, e, "a quotation mark is not closed");
	if (is_quoted && (c = peek(e)) != END && (!strchr(",\r\n", c) || !c))
		return broken(w, e, "something stands behind a quoted value");
	*value = text.data;
	return text.overflow || e->io_errno ? broken(w, e, "a value is larger than 64 KiB")
					    : ERR_OK;
}

/* All values of a line; *n: how many there were, also those beyond the room. */
static enum err take_line(struct work *w, struct ctl_entries *e, const char **values, size_t *n)
{
	const char *value = NULL;
	enum err err;

	*n = 0;
	do {
		err = take_value(w, e, &value);
		if (err)
			return err;
		if (*n < CTL_ENTRY_FIELDS_MAX)
			values[*n] = value;
		++*n;
	} while (peek(e) == ',' && take(e));
	if (peek(e) == '\r')
		take(e);
	if (peek(e) != END && take(e) != '\n')
		return broken(w, e, "a line does not end where it should");
	return ERR_OK;
}

static enum err read_header(struct work *w, struct ctl_entries *e)
{
	const char *values[CTL_ENTRY_FIELDS_MAX];
	size_t n = 0;
	enum err err = take_line(w, e, values, &n);

	if (!err && n > CTL_ENTRY_FIELDS_MAX)
		err = work_fail(w, ERR_INPUT, "line 1: there are too many columns");
	for (size_t i = 0; !err && i < n; i++) {
		e->columns[i] = place_of(e, values[i]);
		if (e->columns[i] == END)
			return work_fail(w, ERR_INPUT, "line 1: %s is none of %s",
				tellable(w, values[i], i + 1), all_names(w, e));
		for (size_t k = 0; k < i; k++)
			if (e->columns[k] == e->columns[i])
				return work_fail(
					w, ERR_INPUT, "line 1: %s is there twice", values[i]);
	}
	e->column_count = n;
	e->has_begun = 1;
	return err;
}

static enum err next_line(struct work *w, struct ctl_entries *e, struct ctl_entry *entry)
{
	const char *values[CTL_ENTRY_FIELDS_MAX];
	size_t n = 0;
	enum err err;

	while (peek(e) == '\n' || peek(e) == '\r')
		take(e);
	if (peek(e) == END)
		return e->io_errno ? broken(w, e, "") : ERR_NOT_FOUND;
	entry->line = e->line;
	err = take_line(w, e, values, &n);
	if (err)
		return err;
	if (n != e->column_count)
		return work_fail_field(w, "line", "has %zu values, and the header %zu columns", n,
			e->column_count);
	for (size_t i = 0; i < n; i++)
		put(w, e, entry, e->columns[i], values[i]);
	return w->fault_count ? ERR_INPUT : ERR_OK;
}

/* --- the file --------------------------------------------------------------------------------- */

static void close_copy(void *handle)
{
	const struct ctl_entries *e = handle;

	close(e->fd);
}

/* What comes through a pipe is kept in memory, so that all of it can be checked first. */
static enum err copy_pipe(struct work *w, struct ctl_entries *e, int fd)
{
	size_t all = 0;
	ssize_t got;

	e->fd = memfd_create("vestal-entries", MFD_CLOEXEC);
	if (e->fd < 0)
		return work_fail(w, ERR_IO, "there is no memory for the file");
	work_defer(w, close_copy, e);
	while ((got = read(fd, e->chunk, CHUNK_BYTES)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 || write(e->fd, e->chunk, (size_t)got) != got)
			return work_fail(w, ERR_IO, "the file cannot be read: %s", strerror(errno));
		all += (size_t)got;
		if (all > CTL_ENTRIES_PIPE_MAX_BYTES)
			return work_fail(w, ERR_INPUT,
				"more than 64 MiB come through a pipe: name a file instead");
	}
	return ERR_OK;
}

static int ends_with(const char *path, const char *end)
{
	size_t n = strlen(path), end_n = strlen(end);

	return n > end_n && strcasecmp(path + n - end_n, end) == 0;
}

enum err ctl_entries_rewind(struct work *w, struct ctl_entries *e)
{
	static const char mark[] = "\xef\xbb\xbf";

	e->at = e->n = 0;
	e->read_to = 0;
	e->line = 1;
	e->has_begun = 0;
	if (peek(e) == (unsigned char)mark[0] && e->n >= 3 && memcmp(e->chunk, mark, 3) == 0)
		e->at = 3;
	return e->is_json || e->io_errno ? ERR_OK : read_header(w, e);
}

enum err ctl_entries_open(struct work *w, int fd, const char *path, const char *const *names,
	struct ctl_entries **entries)
{
	struct ctl_entries *e = work_alloc(w, sizeof(*e));
	enum err err = ERR_OK;
	int first;

	*e = (struct ctl_entries){.fd = fd, .names = names, .is_json = 1};
	e->chunk = work_alloc(w, CHUNK_BYTES);
	if (lseek(fd, 0, SEEK_CUR) < 0)
		err = copy_pipe(w, e, fd);
	if (!err)
		err = ctl_entries_rewind(w, e); /* as JSON, which reads nothing yet */
	if (err)
		return err;
	first = skip_space(e);
	e->is_json = !ends_with(path, ".csv") &&
		     (ends_with(path, ".json") || first == '[' || first == '{');
	*entries = e;
	return ctl_entries_rewind(w, e);
}

enum err ctl_entries_next(struct work *w, struct ctl_entries *e, struct ctl_entry *entry)
{
	*entry = (struct ctl_entry){.line = e->line};
	return e->is_json ? next_object(w, e, entry) : next_line(w, e, entry);
}
