/* Absolute URLs, read strictly: what is not plainly an http or https URL of one host is none. */
#ifndef VESTAL_OAUTH_URL_H
#define VESTAL_OAUTH_URL_H

#include "base/work.h"

#define OAUTH_URL_MAX_BYTES 2048
#define OAUTH_HOST_MAX_BYTES 253

struct oauth_url {
	int https;
	char host[OAUTH_HOST_MAX_BYTES + 1]; /* lower case; an IPv6 literal without brackets */
	int host_is_address;
	unsigned port;     /* the scheme's own when not written */
	size_t origin_len; /* how many bytes of the text are scheme, host and port */
};

/*
 * Reads a URL. Refused: other schemes, user information, fragments, capitals in the host, empty
 * labels, a trailing dot, numeric hosts that are no dotted quad, ports out of range, and every byte
 * that RFC 3986 does not allow. Returns NULL and fills *url, or what is wrong with it. Source: RFC
 * 3986 sections 2 and 3.
 */
const char *oauth_url_read(const char *text, struct oauth_url *url);

/* Whether the host can only be this machine: "localhost", 127.0.0.0/8 or ::1. */
int oauth_url_is_loopback(const struct oauth_url *url);

/* Whether the text is nothing but scheme, host and port. */
int oauth_url_is_origin(const char *text, const struct oauth_url *url);

/* Scheme, host and port of a URL that was read, as they are written. Owns: the arena. */
char *oauth_url_origin(struct arena *arena, const char *text, const struct oauth_url *url);

#endif
