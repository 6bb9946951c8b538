/* The JSON writer. It decides escapes and commas, and knows nothing of what is written. */
#include "base/jout.h"

#include "base/text.h"

#include <inttypes.h>
#include <string.h>

void jout_init(struct jout *j, struct buf *buf)
{
	*j = (struct jout){.buf = buf};
}

/* ASCII that stands for itself. */
static int is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void escaped(struct buf *buf, const char *text)
{
	const char *plain = text;

	buf_char(buf, '"');
	while (*text) {
		unsigned char c = (unsigned char)*text;
		size_t n = is_plain(c) ? 1 : text_utf8_len(text);

		if (n > 1 || is_plain(c)) {
			text += n;
			continue;
		}
		buf_add(buf, plain, (size_t)(text - plain));
		if (!n)
			buf_text(buf, "\\ufffd");
		else if (c == '"' || c == '\\')
			buf_printf(buf, "\\%c", c);
		else
			buf_printf(buf, "\\u%04x", c);
		plain = ++text;
	}
	buf_add(buf, plain, (size_t)(text - plain));
	buf_char(buf, '"');
}

/* A text in its quotes, and what follows it; before: a comma or nothing. Most hold nothing to
 * escape, and a list of many rows is made of little else. */
static void quoted(struct buf *buf, int comma, const char *text, int colon)
{
	size_t n = 0;
	char *room;

	while (is_plain((unsigned char)text[n]))
		n++;
	if (text[n]) {
		if (comma)
			buf_char(buf, ',');
		escaped(buf, text);
		if (colon)
			buf_char(buf, ':');
		return;
	}
	room = buf_room(buf, n + 2 + (size_t)comma + (size_t)colon);
	if (!room)
		return;
	if (comma)
		*room++ = ',';
	*room++ = '"';
	memcpy(room, text, n);
	room[n] = '"';
	if (colon)
		room[n + 1] = ':';
}

static void lead(struct jout *j, const char *key)
{
	if (key)
		quoted(j->buf, j->after_value, key, 1);
	else if (j->after_value)
		buf_char(j->buf, ',');
	j->after_value = 1;
}

void jout_object(struct jout *j, const char *key)
{
	lead(j, key);
	buf_char(j->buf, '{');
	j->after_value = 0;
}

void jout_array(struct jout *j, const char *key)
{
	lead(j, key);
	buf_char(j->buf, '[');
	j->after_value = 0;
}

void jout_end_object(struct jout *j)
{
	buf_char(j->buf, '}');
	j->after_value = 1;
}

void jout_end_array(struct jout *j)
{
	buf_char(j->buf, ']');
	j->after_value = 1;
}

void jout_text(struct jout *j, const char *key, const char *value)
{
	if (!value) {
		jout_null(j, key);
		return;
	}
	lead(j, key);
	quoted(j->buf, 0, value, 0);
}

void jout_int(struct jout *j, const char *key, int64_t value)
{
	lead(j, key);
	buf_printf(j->buf, "%" PRId64, value);
}

void jout_bool(struct jout *j, const char *key, int value)
{
	lead(j, key);
	buf_text(j->buf, value ? "true" : "false");
}

void jout_null(struct jout *j, const char *key)
{
	lead(j, key);
	buf_text(j->buf, "null");
}

void jout_raw(struct jout *j, const char *key, const char *json)
{
	lead(j, key);
	buf_text(j->buf, json ? json : "null");
}
