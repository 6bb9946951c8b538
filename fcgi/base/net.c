/* Addresses and networks. It decides how they are read; who may come from where is not its
 * business. */
#include "base/net.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <string.h>

#define NETWORK_MAX_BYTES 64 /* more than any has */

struct address {
	int family;
	unsigned bits;
	unsigned char bytes[16];
};

/* An IPv4 address within IPv6 counts as IPv4. Source: RFC 4291 section 2.5.5.2. */
static int read_address(const char *text, struct address *address)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

	memset(address, 0, sizeof(*address));
	address->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	address->bits = address->family == AF_INET ? 32 : 128;
	if (inet_pton(address->family, text, address->bytes) != 1)
		return 0;
	if (address->family == AF_INET6 && memcmp(address->bytes, mapped, sizeof(mapped)) == 0) {
		memmove(address->bytes, address->bytes + 12, 4);
		address->family = AF_INET;
		address->bits = 32;
	}
	return 1;
}

static int covers(const struct address *network, unsigned bits, const struct address *address)
{
	unsigned whole = bits / 8, rest = bits % 8;
	unsigned mask = 0xff00u >> rest & 0xff;

	if (network->family != address->family || bits > network->bits ||
		memcmp(network->bytes, address->bytes, whole) != 0)
		return 0;
	return !rest || (network->bytes[whole] & mask) == (address->bytes[whole] & mask);
}

/* One network, or a single address, of n bytes. */
static int read_network(const char *text, size_t n, struct address *network, unsigned *bits)
{
	char copy[NETWORK_MAX_BYTES];
	int64_t asked = 0;
	char *slash;

	if (!n || n >= sizeof(copy))
		return 0;
	memcpy(copy, text, n);
	copy[n] = '\0';
	slash = strchr(copy, '/');
	if (slash)
		*slash++ = '\0';
	if (!read_address(copy, network) ||
		(slash && !text_to_int(slash, 0, network->bits, &asked)))
		return 0;
	*bits = slash ? (unsigned)asked : network->bits;
	return 1;
}

const char *net_plain(struct work *w, const char *text)
{
	char plain[INET6_ADDRSTRLEN];
	struct address address;

	if (!text || !read_address(text, &address))
		return NULL;
	return work_strdup(w, inet_ntop(address.family, address.bytes, plain, sizeof(plain)));
}

int net_is_list(const char *networks)
{
	struct address network;
	unsigned bits;

	while (*networks) {
		size_t n = strcspn(networks, ", ");

		if (n && !read_network(networks, n, &network, &bits))
			return 0;
		networks += n + (networks[n] != '\0');
	}
	return 1;
}

int net_holds(const char *text, const char *networks)
{
	struct address address, network;
	unsigned bits;
	int hit = 0;

	if (!text || !read_address(text, &address))
		return 0;
	while (*networks && !hit) {
		size_t n = strcspn(networks, ", ");

		hit = read_network(networks, n, &network, &bits) &&
		      covers(&network, bits, &address);
		networks += n + (networks[n] != '\0');
	}
	return hit;
}
