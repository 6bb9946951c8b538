/* FastCGI's door without FastCGI: what is written is kept. In place of web/accept.c. */
#ifndef VESTAL_TESTS_UNIT_SUPPORT_FAKE_ACCEPT_H
#define VESTAL_TESTS_UNIT_SUPPORT_FAKE_ACCEPT_H

#include "web/accept.h"

/* Forgets what was written; the other side is there again. */
void fake_accept_begin(void);

/* The other side has gone: nothing more is taken. */
void fake_accept_leave(void);

/* The status line's number, the head with its last empty line, and what follows. A head that does
 * not end, or is no head, fails the test. */
int fake_accept_status(void);
const char *fake_accept_head(void);
const char *fake_accept_body(void);

/* A header's value, or NULL; one that is there twice fails the test. Lives until the next call. */
const char *fake_accept_header(const char *name);

/* How many writes there were. */
size_t fake_accept_writes(void);

#endif
