/* A mail as it travels: headers, and a text and an HTML part. */
#ifndef VESTAL_CUSTODY_MIME_H
#define VESTAL_CUSTODY_MIME_H

#include "base/buf.h"

#include <stdint.h>

struct custody_mime {
	const char *from, *to; /* addresses; to: with commas between */
	const char *subject;   /* any text: what cannot stand in a header is written otherwise */
	const char *id;        /* <...@...> */
	const char *thread_id; /* of the first mail of the same story; NULL: none */
	int64_t at_s;          /* since 1970 */
	const char *text, *html;
};

/*
 * Writes the whole mail with CRLF line ends. No field can begin a header of its own. Source: RFC
 * 5322; RFC 2045 to 2047; RFC 3834 (Auto-Submitted).
 */
void custody_mime_write(struct buf *buf, const struct custody_mime *mime);

#endif
