/* The handlers: inputs to use case to answer, one a route. */
#ifndef VESTAL_WEB_HANDLE_H
#define VESTAL_WEB_HANDLE_H

#include "web/request.h"

enum err web_handle_accept_account(struct web_request *r) MUST_CHECK;
enum err web_handle_authorize(struct web_request *r) MUST_CHECK;
enum err web_handle_callback(struct web_request *r) MUST_CHECK;
enum err web_handle_clients(struct web_request *r) MUST_CHECK;
enum err web_handle_client_put(struct web_request *r) MUST_CHECK;
enum err web_handle_emergency(struct web_request *r) MUST_CHECK;
enum err web_handle_check(struct web_request *r) MUST_CHECK;
enum err web_handle_health(struct web_request *r) MUST_CHECK;
enum err web_handle_healthz(struct web_request *r) MUST_CHECK;
enum err web_handle_incident(struct web_request *r) MUST_CHECK;
enum err web_handle_incident_ack(struct web_request *r) MUST_CHECK;
enum err web_handle_incidents(struct web_request *r) MUST_CHECK;
enum err web_handle_readyz(struct web_request *r) MUST_CHECK;
enum err web_handle_remove(struct web_request *r) MUST_CHECK;
enum err web_handle_reauthorize(struct web_request *r) MUST_CHECK;
enum err web_handle_override(struct web_request *r) MUST_CHECK;
enum err web_handle_refresh(struct web_request *r) MUST_CHECK;
enum err web_handle_rejected(struct web_request *r) MUST_CHECK;
enum err web_handle_token(struct web_request *r) MUST_CHECK;
enum err web_handle_undo(struct web_request *r) MUST_CHECK;

/* A reason that has to be given is more than spaces. Returns: ERR_INPUT. */
enum err web_handle_reason(struct web_request *r) MUST_CHECK;

/* The defaults of the emergency routes: the client of the setting default_client, provider
 * zoho_crm. Returns: ERR_INPUT. */
enum err web_handle_defaults(
	struct web_request *r, const char **client, const char **provider) MUST_CHECK;

#endif
