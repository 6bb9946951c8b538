/* Tokens, sealed, and what they were before. */
#ifndef VESTAL_STORE_TOKEN_H
#define VESTAL_STORE_TOKEN_H

#include "store/db.h"

struct store_sealed {
	const void *bytes; /* NULL: there is none */
	size_t n;
};

struct store_token {
	int64_t connection_id, generation;
	struct store_sealed access, refresh;
	const char *access_fingerprint, *refresh_fingerprint; /* refresh NULL: there is none */
	const char *token_type;
	int64_t lifetime_s;              /* -1: without end */
	int64_t grant_ttl_s, idle_ttl_s; /* 0: no end known */
	int64_t age_s;                   /* since the provider was asked */
	int64_t goes_on; /* the generation in history whose grant it is, with its end; 0: its own */
};

/* Stores a connection's token; its place must be empty. Under store_connection_lock(). */
enum err store_token_put(
	struct work *w, struct store_db *db, const struct store_token *token) MUST_CHECK;

/* Which token was retired: generation 0, none was there. */
struct store_retired {
	int64_t generation;
	const char *fingerprint; /* of the access token. Owns: the work */
};

/* Moves the token, if there is one, into history. Under store_connection_lock(). */
enum err store_token_retire(struct work *w, struct store_db *db, int64_t connection_id,
	const char *ended_by, const char *actor, const char *reason,
	struct store_retired *retired) MUST_CHECK;

/* What was there before the last step: the last token of its grant. */
struct store_before {
	int64_t generation;                  /* 0: there is nothing */
	struct store_sealed access, refresh; /* refresh NULL: it had none */
	int64_t app_id;
	const char *datacenter, *api_domain, *scope, *kept_json; /* api_domain, scope may be NULL */
	const char *ended_by;                                    /* the action of the audit trail */
	int is_spent;    /* the provider may have replaced the refresh token since */
	int64_t lives_s; /* of the access token, 0 when it has run out; -1: without end */
	int is_passive;  /* its old owner renewed it */
};

/* Returns the database's errors. Owns: the work. */
enum err store_token_before(struct work *w, struct store_db *db, int64_t connection_id,
	struct store_before *before) MUST_CHECK;

/* It becomes the generation `as`, and is not found again. Returns: ERR_CONFLICT when it is not what
 * store_token_before() finds any more. Under store_connection_lock(). */
enum err store_token_take_back(struct work *w, struct store_db *db, int64_t connection_id,
	int64_t generation, int64_t as) MUST_CHECK;

/* How many grants the connection has had from that generation on, with the one it has; renewals are
 * none. */
enum err store_token_grants(struct work *w, struct store_db *db, int64_t connection_id,
	int64_t generation, int64_t *n) MUST_CHECK;

/* Says of a refresh token in history that it was sent, or that it was not. *changed: it was
 * otherwise before; of many callers, one. */
enum err store_token_spend(struct work *w, struct store_db *db, int64_t connection_id,
	int64_t generation, int is_spent, int *changed) MUST_CHECK;

/* Marks the refresh token of this fingerprint as spent, wherever it stands in the connection's
 * history. */
enum err store_token_spent(struct work *w, struct store_db *db, int64_t connection_id,
	const char *fingerprint) MUST_CHECK;

/* Forgets what ended more than `days` ago, at most `most`; *n: how many there were. */
enum err store_token_prune(
	struct work *w, struct store_db *db, int64_t days, int64_t most, int64_t *n) MUST_CHECK;

/* Tells whoever listens to vestal_token, when the transaction commits; generation 0: the token is
 * gone. */
enum err store_token_announce(struct work *w, struct store_db *db, const char *client,
	const char *provider, int64_t generation) MUST_CHECK;

/* A connection with the token it holds now; texts may be NULL where the column is. */
struct store_current {
	int64_t connection_id;
	const char *state, *cause;
	int has_incident; /* one that is open */
	const char *client, *client_name, *provider, *datacenter, *api_domain, *scope, *kept_json;
	int64_t app_id, generation; /* generation 0: it holds no token */
	struct store_sealed access, refresh;
	const char *token_type, *issued_at, *expires_at, *granted_at, *grant_ends_at, *idle_ends_at;
	const char *account; /* the fingerprint it is bound to */
};

/* Returns: ERR_CONNECTION_UNKNOWN. */
enum err store_token_current(struct work *w, struct store_db *db, int64_t connection_id,
	struct store_current *current) MUST_CHECK;

/*
 * The same of many, in the order of client and provider, byte by byte; an id that is not there is
 * left out, and one that was taken away holds no token. currents has room for n. Owns: the work.
 */
enum err store_token_current_many(struct work *w, struct store_db *db, const int64_t *ids, size_t n,
	struct store_current *currents, size_t *count) MUST_CHECK;

/* Marks the connection of a token that does not open. *marked: it was not marked already, nor has
 * another token. */
enum err store_token_quarantine(struct work *w, struct store_db *db, int64_t connection_id,
	int64_t generation, int *marked) MUST_CHECK;

struct store_read {
	const char *key_id;            /* NULL, or the API key that has to be good still */
	const unsigned char *key_hash; /* its STORE_API_KEY_HASH_BYTES */
	const char *client, *provider, *host;
	const char *known; /* generations the caller has: a PostgreSQL array, "{}" for none */
	int64_t min_ttl_s;
	int strict;          /* nothing that lives shorter is served */
	int may_renew_first; /* what needs a renewal that may be tried now is not served */
};

struct store_served {
	int64_t connection_id, generation; /* generation 0: the connection holds no token */
	struct store_sealed
		access; /* NULL when the caller knows this generation, or nothing is served */
	const char *token_type, *expires_at, *api_domain, *datacenter;
	int64_t seconds_left; /* -1: without end */
	int degraded, served;
	int needs_renewal; /* which may be tried now, or is under way; nothing was served or noted
			    */
};

/*
 * Reads a token for a service and writes the audit event of it, in one statement and one commit.
 * Returns: ERR_CONNECTION_UNKNOWN, also when the key is not good, or was not used today.
 */
enum err store_token_read(struct work *w, struct store_db *db, const struct store_read *read,
	struct store_served *served) MUST_CHECK;

/*
 * What can be told of a connection's token; no secret is in it. Numbers are PostgreSQL's own
 * decimal texts. NULL is what is not there: the token's own when there is none (generation), the
 * lease's when nobody holds it (lease_owner).
 */
struct store_shown {
	const char *connection_id, *last_generation;
	const char *generation, *access_fingerprint, *refresh_fingerprint, *token_type;
	const char *issued_at, *expires_at, *granted_at, *grant_ends_at, *idle_ends_at;
	const char *status, *cause, *action, *owner, *datacenter;
	int passive;
	const char *failures, *last_error_code, *last_error_at;
	const char *last_refreshed_at, *last_proved_at, *next_refresh_at, *tried_at, *deferred_by;
	const char *lease_owner, *lease_until, *copy_generation, *environment_generation;
	const char *account_fingerprint; /* of the account the connection is bound to */
};

/* Returns: ERR_CONNECTION_UNKNOWN. Owns: the work. */
enum err store_token_show(struct work *w, struct store_db *db, const char *client,
	const char *provider, struct store_shown *shown) MUST_CHECK;

#endif
