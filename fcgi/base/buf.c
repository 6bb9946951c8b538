/* The bounded buffer. */
#include "base/buf.h"

#include <openssl/crypto.h>
#include <string.h>

#define FIRST_BYTES 256

void buf_init(struct buf *buf, struct work *w, size_t max_bytes)
{
	*buf = (struct buf){.w = w, .max = max_bytes};
	buf->cap = max_bytes < FIRST_BYTES ? max_bytes : FIRST_BYTES;
	buf->data = work_alloc(w, buf->cap + 1);
}

static int has_room(struct buf *buf, size_t n)
{
	size_t cap = buf->cap;
	char *data;

	if (buf->overflow || n > buf->max - buf->len) {
		buf->overflow = 1;
		return 0;
	}
	while (cap - buf->len < n)
		cap = cap > buf->max / 2 ? buf->max : cap * 2;
	if (cap != buf->cap) {
		data = work_alloc(buf->w, cap + 1);
		memcpy(data, buf->data, buf->len);
		OPENSSL_cleanse(buf->data, buf->len);
		buf->data = data;
		buf->cap = cap;
	}
	return 1;
}

char *buf_room(struct buf *buf, size_t n)
{
	char *room = has_room(buf, n) ? buf->data + buf->len : NULL;

	if (room) {
		buf->len += n;
		buf->data[buf->len] = '\0';
	}
	return room;
}

void buf_add(struct buf *buf, const void *bytes, size_t n)
{
	char *room = n ? buf_room(buf, n) : NULL;

	if (room)
		memcpy(room, bytes, n);
}

void buf_text(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

void buf_char(struct buf *buf, char c)
{
	buf_add(buf, &c, 1);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = arena_vprintf(&buf->w->arena, format, args);
	va_end(args);
	buf_text(buf, text);
}

void buf_clear(struct buf *buf)
{
	OPENSSL_cleanse(buf->data, buf->len);
	buf->len = 0;
	buf->data[0] = '\0';
	buf->overflow = 0;
}
