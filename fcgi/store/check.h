/* What a check needs of connections, and what it finds. */
#ifndef VESTAL_STORE_CHECK_H
#define VESTAL_STORE_CHECK_H

#include "store/scope.h"
#include "store/token.h"

#define STORE_CHECK_BATCH_MAX 256    /* rows of any call but the first */
#define STORE_CHECK_FIND_MAX 1000000 /* connections of one check */

/* The connections of a scope, those first that no check came by for longest; limit is at most
 * STORE_CHECK_FIND_MAX. Owns: the work. */
enum err store_check_find(struct work *w, struct store_db *db, const struct store_scope *scope,
	size_t limit, int64_t **ids, size_t *n) MUST_CHECK;

/* A connection as a check meets it. Texts live in the work. */
struct store_checked {
	int64_t connection_id, app_id;
	int64_t generation; /* 0: it holds no token */
	const char *client, *provider, *datacenter, *state;
	const char *api_domain, *scope; /* or NULL */
	struct store_sealed access;
	int access_lives, is_renewable, is_passive;
	int64_t provider_gate_id; /* 0: there is none */
	const char *shut;         /* the cause of a gate that is shut now; NULL: none is */
	int is_provider_shut;
	const char *status, *cause; /* of its report, before the check */
};

/* rows has room for n; *count: one that is not there is left out. */
enum err store_check_take(struct work *w, struct store_db *db, const int64_t *ids, size_t n,
	struct store_checked *rows, size_t *count) MUST_CHECK;

/* What a check found of the token of that generation. */
struct store_finding {
	int64_t connection_id, generation;
	int says;           /* anything at all; else only that somebody came by */
	int is_alive;       /* proved, now */
	int is_dead;        /* refused for good, and nothing can renew it */
	const char *found;  /* a cause; NULL: all is well */
	const char *code;   /* a closed word; NULL: none */
	int scope_is_whole; /* nothing that was granted says otherwise */
};

/* Writes them. Under the connections' locks. */
enum err store_check_note(struct work *w, struct store_db *db, const struct store_finding *findings,
	size_t n) MUST_CHECK;

struct store_verdict {
	int64_t connection_id, generation;
	const char *status, *cause, *action, *owner;
};

/* How connections are judged now. verdicts has room for n. */
enum err store_check_verdicts(struct work *w, struct store_db *db, const int64_t *ids, size_t n,
	struct store_verdict *verdicts, size_t *count) MUST_CHECK;

#endif
