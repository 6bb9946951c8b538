/* Lists of scopes as providers write them. */
#ifndef VESTAL_OAUTH_SCOPE_H
#define VESTAL_OAUTH_SCOPE_H

#include "oauth/provider.h"

/* Whether every word of `wanted` is in `list`; commas and spaces part words alike, for Zoho asks
 * with commas and answers with spaces. */
int oauth_scope_holds(const char *list, const char *wanted);

/* Whether a granted scope holds everything that the definition asks for. */
int oauth_scope_covers(const char *scope, const struct oauth_provider *provider);

#endif
