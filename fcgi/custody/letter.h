/* What a mail says. */
#ifndef VESTAL_CUSTODY_LETTER_H
#define VESTAL_CUSTODY_LETTER_H

#include "store/outbox.h"

struct custody_letter {
	const char *subject, *text, *html;
};

/*
 * Writes one message, or one digest of n. public_url: where our own pages are; no other address
 * stands in a letter. Never a token. Returns: ERR_DB for a payload that is no JSON. Owns: the work.
 */
enum err custody_letter_write(struct work *w, const char *public_url,
	const struct store_letter *letters, size_t n, struct custody_letter *letter) MUST_CHECK;

/* The one that shows that mails arrive. */
void custody_letter_test(
	struct work *w, const char *public_url, const char *who, struct custody_letter *letter);

#endif
