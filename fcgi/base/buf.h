/* A growing text with a named ceiling. A write past the ceiling is dropped whole and remembered:
 * check once, at the end. */
#ifndef VESTAL_BASE_BUF_H
#define VESTAL_BASE_BUF_H

#include "base/work.h"

struct buf {
	struct work *w; /* owns the bytes, which are wiped with it */
	char *data;     /* ends with a NUL */
	size_t len, cap, max;
	int overflow;
};

void buf_init(struct buf *buf, struct work *w, size_t max_bytes);

/* Makes the text n bytes longer and says where they are to be written; NULL past the ceiling. */
char *buf_room(struct buf *buf, size_t n);

void buf_add(struct buf *buf, const void *bytes, size_t n);
void buf_text(struct buf *buf, const char *text);
void buf_char(struct buf *buf, char c);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Forgets what was written; the memory stays for the next use. */
void buf_clear(struct buf *buf);

#endif
