/* Addresses and networks, read in one way by all: IPv4 within IPv6 is IPv4. */
#ifndef VESTAL_BASE_NET_H
#define VESTAL_BASE_NET_H

#include "base/work.h"

/* An address in its plain text form, or NULL for what is none. Owns: the work. */
const char *net_plain(struct work *w, const char *address);

/* Whether a text is a comma separated list of networks and addresses, "10.0.0.0/8, ::1"; "" is one.
 */
int net_is_list(const char *networks);

/* Whether an address lies in one of the networks of a list. An address that is none lies nowhere.
 */
int net_holds(const char *address, const char *networks);

#endif
