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
		size_t n;

		if (is_plain(c)) {
			text++;
			continue;
		}
		n = text_utf8_len(text);
		if (n > 1) {
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

static void lead(struct jout *j, const char *key)
{
	if (j->after_value)
		buf_char(j->buf, ',');
	if (key) {
		escaped(j->buf, key);
		buf_char(j->buf, ':');
	}
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
	escaped(j->buf, value);
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
