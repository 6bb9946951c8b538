/* Where a request may go. It decides by URL and address; what is sent there it does not know. */
#include "oauth/reach.h"

#include "oauth/address.h"
#include "oauth/url.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum oauth_reach oauth_reach_of(const char *url, int allow_loopback)
{
	struct oauth_url read;

	if (oauth_url_read(url, &read) ||
		(!read.https && !(allow_loopback && oauth_url_is_loopback(&read))))
		return OAUTH_REACH_NOWHERE;
	return allow_loopback || oauth_url_is_loopback(&read) ? OAUTH_REACH_LOOPBACK
							      : OAUTH_REACH_INTERNET;
}

int oauth_reach_covers(enum oauth_reach reach, const struct sockaddr *address)
{
	return (reach == OAUTH_REACH_LOOPBACK && oauth_address_is_loopback(address)) ||
	       (reach == OAUTH_REACH_INTERNET && oauth_address_is_public(address));
}

int oauth_reach_covers_text(enum oauth_reach reach, const char *address)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, address, &in4.sin_addr) == 1)
		return oauth_reach_covers(reach, (struct sockaddr *)&in4);
	return inet_pton(AF_INET6, address, &in6.sin6_addr) == 1 &&
	       oauth_reach_covers(reach, (struct sockaddr *)&in6);
}
