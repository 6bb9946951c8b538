/*
 * Writes JSON, strictly and in one pass: answers, log lines, audit details and sealed copies all
 * come out of here. Reading JSON is jansson's. Commas and escapes are its business, nesting is the
 * caller's.
 */
#ifndef VESTAL_BASE_JOUT_H
#define VESTAL_BASE_JOUT_H

#include "base/buf.h"

#include <stdint.h>

struct jout {
	struct buf *buf;
	int after_value; /* a comma is due before the next one */
};

void jout_init(struct jout *j, struct buf *buf);

/* key NULL: an element of an array, or the whole document. */
void jout_object(struct jout *j, const char *key);
void jout_array(struct jout *j, const char *key);
void jout_end_object(struct jout *j);
void jout_end_array(struct jout *j);

/* value NULL: null. Bytes that are not UTF-8 become U+FFFD. */
void jout_text(struct jout *j, const char *key, const char *value);
void jout_int(struct jout *j, const char *key, int64_t value);
void jout_bool(struct jout *j, const char *key, int value);
void jout_null(struct jout *j, const char *key);

/* A number or null that is JSON text already, as PostgreSQL prints integers; NULL: null. */
void jout_raw(struct jout *j, const char *key, const char *json);

#endif
