/* Where a request may go: into the Internet or to this machine, and to nothing between. */
#ifndef VESTAL_OAUTH_REACH_H
#define VESTAL_OAUTH_REACH_H

#include <sys/socket.h>

enum oauth_reach {
	OAUTH_REACH_NOWHERE,
	OAUTH_REACH_INTERNET,
	OAUTH_REACH_LOOPBACK,
};

/*
 * By the host as it is written, because what a name resolves to proves nothing: a host written as
 * loopback, and with allow_loopback every host, is on this machine, others are in the Internet.
 * NOWHERE: no URL, or plain http, which is for hosts written as loopback with allow_loopback alone.
 */
enum oauth_reach oauth_reach_of(const char *url, int allow_loopback);

/* Whether an address is within reach; the second takes it as text, IPv6 without brackets. */
int oauth_reach_covers(enum oauth_reach reach, const struct sockaddr *address);
int oauth_reach_covers_text(enum oauth_reach reach, const char *address);

#endif
