/* Network addresses by the registries. It decides what an address is, not who may be contacted. */
#include "oauth/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

struct net4 {
	uint32_t net;
	unsigned bits;
};

/* Source: IANA IPv4 Special-Purpose Address Registry; 224.0.0.0/3 is multicast and what is reserved
 * above it. */
static const struct net4 special4[] = {
	{0x00000000, 8},  /* this network */
	{0x0a000000, 8},  /* private */
	{0x64400000, 10}, /* shared (CGNAT) */
	{0x7f000000, 8},  /* loopback */
	{0xa9fe0000, 16}, /* link-local */
	{0xac100000, 12}, /* private */
	{0xc0000000, 24}, /* protocol assignments */
	{0xc0000200, 24}, /* documentation */
	{0xc0a80000, 16}, /* private */
	{0xc6120000, 15}, /* benchmarking */
	{0xc6336400, 24}, /* documentation */
	{0xcb007100, 24}, /* documentation */
	{0xe0000000, 3},
};

static int is_public4(uint32_t address)
{
	for (size_t i = 0; i < sizeof(special4) / sizeof(special4[0]); i++)
		if ((address ^ special4[i].net) >> (32 - special4[i].bits) == 0)
			return 0;
	return 1;
}

/*
 * Global unicast, 2000::/3, without what documents or carries other addresses; and what a NAT64
 * translates. Source: RFC 4291 section 2.4, RFC 3849, RFC 4380, RFC 3056, RFC 6052 section 2.1.
 */
static int is_public6(const unsigned char *a)
{
	static const unsigned char documentation[4] = {0x20, 0x01, 0x0d, 0xb8};
	static const unsigned char teredo[4] = {0x20, 0x01};
	static const unsigned char six_to_four[2] = {0x20, 0x02};
	static const unsigned char nat64[12] = {0x00, 0x64, 0xff, 0x9b};

	if (memcmp(a, nat64, sizeof(nat64)) == 0)
		return is_public4((uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 |
				  (uint32_t)a[14] << 8 | a[15]);
	return (a[0] & 0xe0) == 0x20 && memcmp(a, documentation, sizeof(documentation)) != 0 &&
	       memcmp(a, teredo, sizeof(teredo)) != 0 &&
	       memcmp(a, six_to_four, sizeof(six_to_four)) != 0;
}

int oauth_address_is_public(const struct sockaddr *address)
{
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;

	if (address->sa_family == AF_INET) {
		memcpy(&in4, address, sizeof(in4));
		return is_public4(ntohl(in4.sin_addr.s_addr));
	}
	if (address->sa_family != AF_INET6)
		return 0;
	memcpy(&in6, address, sizeof(in6));
	return is_public6(in6.sin6_addr.s6_addr);
}

int oauth_address_text_is_public(const char *text)
{
	struct in6_addr in6;
	struct in_addr in4;

	if (inet_pton(AF_INET, text, &in4) == 1)
		return is_public4(ntohl(in4.s_addr));
	return inet_pton(AF_INET6, text, &in6) == 1 && is_public6(in6.s6_addr);
}

int oauth_address_is_loopback(const struct sockaddr *address)
{
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;

	if (address->sa_family == AF_INET) {
		memcpy(&in4, address, sizeof(in4));
		return ntohl(in4.sin_addr.s_addr) >> 24 == 127;
	}
	if (address->sa_family != AF_INET6)
		return 0;
	memcpy(&in6, address, sizeof(in6));
	return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}
