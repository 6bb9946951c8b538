/* Who calls: API keys, made and recognised. */
#ifndef VESTAL_CUSTODY_CALLER_H
#define VESTAL_CUSTODY_CALLER_H

#include "custody/custody.h"
#include "store/api_key.h"

/* Roles are sets; a route names those it takes. */
enum custody_role {
	CUSTODY_ADMIN = 1 << 0,
	CUSTODY_OPERATOR = 1 << 1,
	CUSTODY_AUDITOR = 1 << 2,
	CUSTODY_SERVICE = 1 << 3,
};

struct custody_caller {
	const char *key_id; /* of a well-formed key, known or not; else NULL */
	enum custody_role role;
	struct store_scope scope;
	unsigned char key_hash[STORE_API_KEY_HASH_BYTES];
	/* The key was good when it was last looked up, and whoever serves the caller has to see
	 * that it still is: in the statement that serves him, or by custody_caller_confirm(). */
	int is_assumed;
};

/* The role of that name, or 0. */
enum custody_role custody_role_by_name(const char *name);

/* The keys that this process has recognised: hash, role and scope, which never change while a key
 * exists. Owns: w, the process's own. */
struct custody_callers *custody_callers_new(struct work *w);

/*
 * Recognises an API key, "vst_<id>_<secret>". A mistyped one is refused by its checksum, without
 * the database. The work's origin becomes the key's. may_assume: a key that c->callers remembers is
 * not looked up now; caller->is_assumed then. Returns: ERR_UNAUTHENTICATED and the database's
 * errors.
 */
enum err custody_caller_by_key(struct work *w, const struct custody *c, const char *key,
	int may_assume, struct custody_caller *caller) MUST_CHECK;

/* Looks up what was assumed, if anything was; it is known then, or the caller is nobody. Returns:
 * as above. */
enum err custody_caller_confirm(
	struct work *w, const struct custody *c, struct custody_caller *caller) MUST_CHECK;

struct custody_new_key {
	const char *name, *role;
	struct store_scope scope; /* NULL lists: all */
	const char *const *addresses;
	size_t address_count;
	const char *expires_at;
	/* answered */
	const char *id;
	struct secret *key; /* the whole key, to be shown once */
};

/* Makes a key; only its hash is kept. */
enum err custody_caller_make_key(
	struct work *w, const struct custody *c, struct custody_new_key *key) MUST_CHECK;

/* Revokes a key, at once. Returns: ERR_NOT_FOUND. */
enum err custody_caller_revoke_key(
	struct work *w, const struct custody *c, const char *id) MUST_CHECK;

#endif
