/* Mails: from the outbox to the mail server. */
#ifndef VESTAL_CUSTODY_MAIL_H
#define VESTAL_CUSTODY_MAIL_H

#include "custody/custody.h"
#include "oauth/smtp.h"

#define CUSTODY_MAIL_BUDGET 20     /* an hour; what is more goes in a digest */
#define CUSTODY_MAIL_RUN_MS 30000  /* of one run, whatever the server does */
#define CUSTODY_MAIL_EACH_MS 15000 /* of one mail */

struct custody_mailed {
	size_t sent, failed; /* mails */
	const char *cause;   /* of the last that failed */
};

/*
 * Sends what waits, as far as it gets in CUSTODY_MAIL_RUN_MS and the work's deadline; what did not
 * go waits for a later run, longer each time. Two may do so at once: none sends what the other
 * does. Without a mail server it only takes back what nobody needs to know any more. Returns: the
 * database's errors, ERR_CONFIG (the password's file); a server that does not take mails is none.
 */
enum err custody_mail_run(
	struct work *w, const struct custody *c, struct custody_mailed *mailed) MUST_CHECK;

/* Sends one mail now, to all recipients or to none. Returns: ERR_CONFIG without a mail server; the
 * database's errors. */
enum err custody_mail_test(
	struct work *w, const struct custody *c, struct oauth_smtp_answer *answer) MUST_CHECK;

#endif
