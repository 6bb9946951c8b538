/* Words about text: names, encodings, comparisons. No domain. */
#ifndef VESTAL_BASE_TEXT_H
#define VESTAL_BASE_TEXT_H

#include "base/buf.h"

/* Whether both are texts and the same; NULL equals nothing. */
int text_equal(const char *a, const char *b);

/* Whether a text begins with prefix. */
int text_starts(const char *text, const char *prefix);

/* Whether it is a client id: [A-Za-z0-9][A-Za-z0-9._-]{0,63}. */
int text_is_client_id(const char *text);

/* Whether it is a provider's name: [a-z0-9_]{1,64}. */
int text_is_name(const char *text);

/* Whether any byte is a control character (C0, DEL, or C1 in UTF-8) or not UTF-8. */
int text_has_control(const char *text);

/* Length in bytes of the UTF-8 character that text begins with; 0 when it is none. Source: RFC 3629
 * section 4. */
size_t text_utf8_len(const char *text);

/* A whole decimal number from min to max. Returns 1 and sets *value, or 0. */
int text_to_int(const char *text, int64_t min, int64_t max, int64_t *value);

/* Appends text percent-encoded, unreserved characters only left as they are. Source: RFC 3986
 * section 2.3. */
void text_percent_encode(struct buf *buf, const char *text);

/* Appends text as it may stand in HTML, attributes included. */
void text_html_escape(struct buf *buf, const char *text);

/*
 * Whether it is a mail address as we take them: a dot-atom, @ and a host name, ASCII only. Source:
 * RFC 5321 section 4.1.2, without quoted local parts and address literals.
 */
int text_is_mailbox(const char *text);

/*
 * Decodes n bytes of a form or query component (plus is a space) in place of the work.
 * Returns NULL for a bad escape, and for %00.
 */
char *text_form_decode(struct work *w, const char *text, size_t n);

/* Lower-case hex of n bytes. */
char *text_hex(struct work *w, const unsigned char *bytes, size_t n);

/* Bytes of a hex text; sets *n. Returns NULL when it is none. */
unsigned char *text_unhex(struct work *w, const char *hex, size_t *n);

/* base64url without padding. Source: RFC 4648 section 5. */
char *text_base64url(struct work *w, const unsigned char *bytes, size_t n);

/* base64 with padding, as HTTP Basic wants it. Source: RFC 4648 section 4. Owns: the work, which
 * wipes it. */
char *text_base64(struct work *w, const unsigned char *bytes, size_t n);

/* Bytes of a padded base64 text of n characters; sets *bytes_n. Returns NULL for anything that
 * text_base64() would not have written. */
unsigned char *text_unbase64(struct work *w, const char *text, size_t n, size_t *bytes_n);

#endif
