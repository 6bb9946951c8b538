/*
 * The way out to the mail server: libcurl's second door, because a mail shares nothing with a
 * request to a provider but the library, whose start and end are oauth_http_init()'s.
 */
#ifndef VESTAL_OAUTH_SMTP_H
#define VESTAL_OAUTH_SMTP_H

#include "base/secret.h"

#define OAUTH_SMTP_CONNECT_MS 5000
#define OAUTH_SMTP_RECIPIENTS_MAX 20

enum oauth_starttls { OAUTH_STARTTLS_OFF, OAUTH_STARTTLS_TRY, OAUTH_STARTTLS_REQUIRE };

struct oauth_smtp {
	const char *url;              /* smtp://host[:port] or smtps://host[:port] */
	enum oauth_starttls starttls; /* of smtp:// */
	const char *ca_file;          /* to trust instead of the system's; NULL: those */
	const char *user;             /* NULL: no AUTH */
	const struct secret *password;
	const char *from; /* the envelope's: a bare address each */
	const char *to[OAUTH_SMTP_RECIPIENTS_MAX];
	size_t to_count;
	int all_must_accept; /* one refused recipient refuses the mail; else one that accepts is
				enough */
	int64_t total_ms;    /* for all of it; the work's own deadline counts too */
};

/* What became of a mail. */
enum oauth_smtp_fate {
	OAUTH_SMTP_SENT,
	OAUTH_SMTP_REFUSED,  /* the server answered 5xx */
	OAUTH_SMTP_DEFERRED, /* the server answered 4xx */
	OAUTH_SMTP_AWAY,     /* it cannot be talked to, or said nothing of what became of it */
};

/* cause: NULL, or one of: dns connect tls certificate starttls login deadline refused deferred
 * dropped */
struct oauth_smtp_answer {
	enum oauth_smtp_fate fate;
	const char *cause;
	int code; /* the server's last; 0: none */
};

/*
 * Sends one mail, n bytes with CRLF line ends, headers included. Returns: ERR_OK whenever *answer
 * is filled, ERR_NO_MEMORY. Source: RFC 5321; RFC 3207 (STARTTLS).
 */
enum err oauth_smtp_send(struct work *w, const struct oauth_smtp *server, const char *mail,
	size_t n, struct oauth_smtp_answer *answer) MUST_CHECK;

#endif
