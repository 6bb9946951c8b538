/* What the values on the command line may look like. Each check returns NULL, or the fault in words
 * that follow the option's name. The texts are static. */
#ifndef VESTAL_CTL_VALUE_H
#define VESTAL_CTL_VALUE_H

#include <stdint.h>

/* A network: an IPv4 or IPv6 address with a prefix, or without, which means that address alone.
 * Source: RFC 4632 section 3.1, RFC 4291 section 2.3. */
const char *ctl_value_network_fault(const char *text);

/* A day, YYYY-MM-DD; *at_s: its beginning, seconds since 1970 in UTC. */
const char *ctl_value_day_fault(const char *text, int64_t *at_s);

/* A day, or a moment as RFC 3339 writes it; *at_s: seconds since 1970. Source: RFC 3339 section
 * 5.6. */
const char *ctl_value_time_fault(const char *text, int64_t *at_s);

/* A redirect URI: https, or http to this machine; absolute, without fragment. Source: RFC 6749
 * section 3.1.2, RFC 9700 section 4.1.3. */
const char *ctl_value_redirect_uri_fault(const char *text);

/* What people call something: 1 to 200 characters. */
const char *ctl_value_name_fault(const char *text);

#endif
