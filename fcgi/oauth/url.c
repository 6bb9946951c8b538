/* Strict reading of URLs. It decides what is a URL; whether it may be contacted is decided by the
 * definition. */
#include "oauth/url.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <string.h>

#define ALNUM "abcdefghijklmnopqrstuvwxyz0123456789"
#define HOST_BYTES ALNUM "-."
#define HEX_DIGITS "0123456789abcdefABCDEF"
#define URL_BYTES ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZ-._~:/?[]@!$&'()*+,;=%"

static const char *check_bytes(const char *text)
{
	size_t n = strlen(text);

	if (n > OAUTH_URL_MAX_BYTES)
		return "is longer than 2048 bytes";
	if (strchr(text, '#'))
		return "has a fragment";
	if (strspn(text, URL_BYTES) != n)
		return "has a character that no URL has";
	for (const char *c = text; *c; c++)
		if (*c == '%' && strspn(c + 1, HEX_DIGITS) < 2)
			return "has a bad percent escape";
	return NULL;
}

static int labels_are_valid(const char *host)
{
	while (*host) {
		size_t n = strcspn(host, ".");

		if (n < 1 || n > 63 || host[0] == '-' || host[n - 1] == '-')
			return 0;
		host += n;
		if (*host == '.' && !*++host)
			return 0;
	}
	return 1;
}

/* Resolvers take "127.1", "0x7f.1" and "2130706433" for addresses: a last label in digits must be a
 * dotted quad's. */
static int looks_numeric(const char *host)
{
	const char *dot = strrchr(host, '.'), *last = dot ? dot + 1 : host;

	return strspn(last, "0123456789") == strlen(last) ||
	       (text_starts(last, "0x") && strspn(last + 2, HEX_DIGITS) == strlen(last + 2));
}

static const char *read_host(const char *host, size_t n, struct oauth_url *url)
{
	unsigned char address[sizeof(struct in6_addr)];
	int in_brackets = n > 2 && host[0] == '[' && host[n - 1] == ']';

	if (in_brackets) {
		host++;
		n -= 2;
	}
	if (n < 1 || n > OAUTH_HOST_MAX_BYTES)
		return "has no host, or one that is too long";
	memcpy(url->host, host, n);
	url->host[n] = '\0';
	if (in_brackets) {
		url->host_is_address = 1;
		return inet_pton(AF_INET6, url->host, address) == 1 ? NULL
								    : "has a bad IPv6 address";
	}
	if (strspn(url->host, HOST_BYTES) != n || !labels_are_valid(url->host))
		return "has a bad host (lower case, no trailing dot)";
	if (looks_numeric(url->host)) {
		url->host_is_address = 1;
		return inet_pton(AF_INET, url->host, address) == 1 ? NULL
								   : "has a bad IPv4 address";
	}
	return NULL;
}

static const char *read_port(const char *port, size_t n, struct oauth_url *url)
{
	unsigned value = 0;

	if (n < 1 || n > 5 || strspn(port, "0123456789") < n || port[0] == '0')
		return "has a bad port";
	for (size_t i = 0; i < n; i++)
		value = value * 10 + (unsigned)(port[i] - '0');
	if (value > 65535)
		return "has a bad port";
	url->port = value;
	return NULL;
}

const char *oauth_url_read(const char *text, struct oauth_url *url)
{
	const char *reason = check_bytes(text), *authority, *colon;
	size_t n, host_len;

	*url = (struct oauth_url){.https = text_starts(text, "https://")};
	if (reason)
		return reason;
	if (!url->https && !text_starts(text, "http://"))
		return "begins with neither https:// nor http://";
	authority = text + (url->https ? 8 : 7);
	n = strcspn(authority, "/?");
	if (memchr(authority, '@', n))
		return "has user information";
	url->origin_len = (size_t)(authority - text) + n;
	url->port = url->https ? 443 : 80;
	host_len = authority[0] == '[' ? strcspn(authority, "]") + 1 : strcspn(authority, ":/?");
	if (host_len > n)
		host_len = n;
	colon = host_len < n ? authority + host_len : NULL;
	if (colon && *colon != ':')
		return "has a bad host (lower case, no trailing dot)";
	reason = read_host(authority, host_len, url);
	if (!reason && colon)
		reason = read_port(colon + 1, n - host_len - 1, url);
	return reason;
}

int oauth_url_is_loopback(const struct oauth_url *url)
{
	return text_equal(url->host, "localhost") ||
	       (url->host_is_address &&
		       (text_starts(url->host, "127.") || text_equal(url->host, "::1")));
}

int oauth_url_is_origin(const char *text, const struct oauth_url *url)
{
	return text[url->origin_len] == '\0';
}

char *oauth_url_origin(struct arena *arena, const char *text, const struct oauth_url *url)
{
	return arena_strndup(arena, text, url->origin_len);
}
