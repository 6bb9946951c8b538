/* Which network addresses can be a provider's. */
#ifndef VESTAL_OAUTH_ADDRESS_H
#define VESTAL_OAUTH_ADDRESS_H

#include <sys/socket.h>

/* Whether it is an address of the Internet: not private, link-local, shared, loopback,
 * documentation, multicast or reserved, nor one that carries such an IPv4 address. Source: RFC 6890
 * and the registries it founded. */
int oauth_address_is_public(const struct sockaddr *address);

/* The same of an address as text, IPv6 without brackets; 0 also when it is none. */
int oauth_address_text_is_public(const char *text);

/* Whether it is this machine's: 127.0.0.0/8 or ::1. */
int oauth_address_is_loopback(const struct sockaddr *address);

#endif
