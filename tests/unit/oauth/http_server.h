/* Servers of a few lines on loopback for the tests of the way out. Each is a process and ends with
 * its test. */
#ifndef VESTAL_TESTS_OAUTH_HTTP_SERVER_H
#define VESTAL_TESTS_OAUTH_HTTP_SERVER_H

#include "fixture.h"

#include <sys/types.h>

#define REQUEST_MAX_BYTES 65536
#define IDS_MAX 1024

/* What a server saw, shared with the test. */
struct seen {
	int connections, requests;
	int open;             /* connections that are open now */
	int arrived[IDS_MAX]; /* how often a body with id=N came whole */
	char last[REQUEST_MAX_BYTES];
};

struct server {
	pid_t pid;
	unsigned port;
	struct seen *seen;
};

/* A socket that listens on a free port. */
int listen_on_loopback(unsigned *port);

/* Whether a text could be sent. */
int say(int fd, const char *text);

/*
 * Takes one connection after the other. answer: is called when a request was read; returns whether
 * the connection goes on.
 */
struct server *server_start(struct fixture *f, int (*answer)(int fd, struct seen *seen));

/*
 * Takes many connections at once and answers each request with its own body, none before hold of
 * them came. Paths: /hang is never answered, /endless answered without end, /drop
 * closed, /reset reset while it comes.
 */
struct server *server_start_crowd(struct fixture *f, int hold);

/* A caller that ends with the test. */
struct oauth_http *http_new(struct fixture *f, const char *ca_file);

/* A request to a server, with the body refresh_token=r unless it is a GET. */
struct oauth_http_request request_to(struct fixture *f, unsigned port, enum oauth_method method);

#endif
