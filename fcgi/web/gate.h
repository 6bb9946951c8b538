/* The gate: who calls, and may he? */
#ifndef VESTAL_WEB_GATE_H
#define VESTAL_WEB_GATE_H

#include "web/request.h"

/* Says who asked, for log and audit, before anybody is recognised. */
void web_gate_origin(struct web_request *r);

/* Recognises the caller and checks his role. Returns: ERR_UNAUTHENTICATED, ERR_FORBIDDEN, the
 * database's errors. */
enum err web_gate_admit(struct web_request *r) MUST_CHECK;

/*
 * Who was only assumed is confirmed before he is told err; ERR_UNAUTHENTICATED comes instead of it
 * when he is nobody any more.
 */
enum err web_gate_confirm(struct web_request *r, enum err err) MUST_CHECK;

/*
 * Checks that an object lies in the caller's scope; provider may be NULL. What does not is as
 * unknown as what is not there. Returns: ERR_CLIENT_UNKNOWN.
 */
enum err web_gate_scope(struct web_request *r, const char *client, const char *provider) MUST_CHECK;

/* The caller's scope within a filter's client and provider, either of which may be NULL; a filter
 * outside it lets nothing through. Owns: the work. */
struct store_scope web_gate_narrow(struct web_request *r, const char *client, const char *provider);

#endif
