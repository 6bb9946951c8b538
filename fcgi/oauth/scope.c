/* Words of scopes. It decides when one list holds another; what is done about it is not its
 * business. */
#include "oauth/scope.h"

#include <string.h>

static int has_word(const char *list, const char *word, size_t n)
{
	for (const char *at = list; *at;) {
		size_t length = strcspn(at, " ,");

		if (length == n && strncmp(at, word, n) == 0)
			return 1;
		at += length;
		at += strspn(at, " ,");
	}
	return 0;
}

int oauth_scope_holds(const char *list, const char *wanted)
{
	while (*wanted) {
		size_t n = strcspn(wanted, " ,");

		if (n && !has_word(list, wanted, n))
			return 0;
		wanted += n;
		wanted += strspn(wanted, " ,");
	}
	return 1;
}

int oauth_scope_covers(const char *scope, const struct oauth_provider *provider)
{
	for (size_t i = 0; i < provider->scopes.count; i++)
		if (!oauth_scope_holds(scope, provider->scopes.items[i]))
			return 0;
	return 1;
}
