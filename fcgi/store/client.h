/* Clients: the tenants whose connections are kept. */
#ifndef VESTAL_STORE_CLIENT_H
#define VESTAL_STORE_CLIENT_H

#include "store/db.h"
#include "store/scope.h"

/* Whether the client is there. Returns: ERR_CLIENT_UNKNOWN. */
enum err store_client_get(
	struct work *w, struct store_db *db, const char *client, const char **name) MUST_CHECK;

/* Adds a client, or gives it a name (NULL: keeps it); one that was removed comes back. */
enum err store_client_put(struct work *w, struct store_db *db, const char *client, const char *name,
	int *is_new) MUST_CHECK;

/* Removes a client that holds no token. Returns: ERR_IN_USE, ERR_CLIENT_UNKNOWN. */
enum err store_client_remove(struct work *w, struct store_db *db, const char *client) MUST_CHECK;

struct store_client {
	const char *id, *name;
	const char *providers_json; /* a JSON array of names */
};

/* All clients of a scope, in order of their ids. Owns: the work. */
enum err store_client_list(struct work *w, struct store_db *db, const struct store_scope *scope,
	struct store_client **clients, size_t *n) MUST_CHECK;

#endif
