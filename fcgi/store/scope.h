/* What a caller may see: clients and providers, NULL for all. */
#ifndef VESTAL_STORE_SCOPE_H
#define VESTAL_STORE_SCOPE_H

#include "base/work.h"

struct store_scope {
	const char *const *clients;   /* NULL: all */
	const char *const *providers; /* NULL: all */
	size_t client_count, provider_count;
};

/* Whether an object of this client and provider (NULL: any provider of the client) lies in the
 * scope. */
int store_scope_holds(const struct store_scope *scope, const char *client, const char *provider);

/* A PostgreSQL array literal of words; NULL for NULL. Words are quoted. Owns: the work. */
const char *store_scope_array(struct work *w, const char *const *words, size_t n);

/* The words of a JSON array of texts as PostgreSQL prints it; NULL stays NULL. Returns: ERR_DB.
 * Owns: the work. */
enum err store_scope_words(
	struct work *w, const char *json, const char *const **words, size_t *n) MUST_CHECK;

#endif
