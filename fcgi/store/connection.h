/* Connections: a client at a provider, and the counter of its generations. */
#ifndef VESTAL_STORE_CONNECTION_H
#define VESTAL_STORE_CONNECTION_H

#include "store/db.h"

struct store_connection {
	int64_t id, last_generation;
	const char *client, *provider, *state, *cause;
	const char *account; /* the fingerprint it is bound to; NULL: none yet */
};

/* What a new grant makes of a connection. */
struct store_grant {
	int64_t app_id, generation;
	const char *datacenter, *api_domain, *scope; /* api_domain and scope may be NULL */
	const char *kept_json, *cause;
	int64_t renew_before_s, refresh_period_s;
	const char *account; /* the fingerprint it is bound to from now on; NULL: as it is */
	int is_passive;      /* somebody else renews it */
};

/* The connection, made when it is not there. */
enum err store_connection_ensure(struct work *w, struct store_db *db, const char *client,
	const char *provider, int64_t *id, int *is_new) MUST_CHECK;

/* Returns: ERR_CONNECTION_UNKNOWN. */
enum err store_connection_find(struct work *w, struct store_db *db, const char *client,
	const char *provider, int64_t *id) MUST_CHECK;

/* Reads it and keeps others off until the transaction ends. Returns: ERR_CONNECTION_UNKNOWN. */
enum err store_connection_lock(struct work *w, struct store_db *db, int64_t id,
	struct store_connection *connection) MUST_CHECK;

/*
 * Keeps others off these connections until the transaction ends; one that is not there is left out.
 * What is read of them afterwards stays as it is.
 */
enum err store_connection_lock_many(
	struct work *w, struct store_db *db, const int64_t *ids, size_t n) MUST_CHECK;

/* Keeps others off all connections of a client until the transaction ends. */
enum err store_connection_lock_all(
	struct work *w, struct store_db *db, const char *client) MUST_CHECK;

/* After store_token_put(): the connection lives by this grant. */
enum err store_connection_granted(struct work *w, struct store_db *db, int64_t id,
	const struct store_grant *grant) MUST_CHECK;

/* Binds it to the account of that fingerprint. Under store_connection_lock(). */
enum err store_connection_pin(
	struct work *w, struct store_db *db, int64_t id, const char *account) MUST_CHECK;

/*
 * A passive connection is renewed here from now on. *generation: of its token; 0: it holds none, or
 * is not passive. Under store_connection_lock().
 */
enum err store_connection_activate(struct work *w, struct store_db *db, int64_t id,
	int64_t renew_before_s, int64_t refresh_period_s, int64_t *generation) MUST_CHECK;

/* The connection holds no token any more. */
enum err store_connection_emptied(
	struct work *w, struct store_db *db, int64_t id, const char *cause) MUST_CHECK;

/* Counts a request for a token that was no renewal. */
enum err store_connection_mint(struct work *w, struct store_db *db, int64_t id) MUST_CHECK;

/* Which generation the two stores outside the database hold; 0: none, -1: as it was. */
struct store_distributed {
	int64_t connection_id, copy, environment;
};

enum err store_connection_distributed(struct work *w, struct store_db *db,
	const struct store_distributed *rows, size_t n) MUST_CHECK;

/* A provider outside `keep` that holds a token; NULL when there is none. */
enum err store_connection_held(struct work *w, struct store_db *db, const char *client,
	const char *const *keep, size_t n, const char **provider) MUST_CHECK;

struct store_taken {
	int64_t id;
	const char *provider;
};

/* Takes away the client's connections outside `keep`. Owns: the work. */
enum err store_connection_take_away(struct work *w, struct store_db *db, const char *client,
	const char *const *keep, size_t n, struct store_taken **taken, size_t *count) MUST_CHECK;

#endif
