/*
 * What the service works with: the database, the keys, the providers, the way out to them. Made
 * once per process and passed to every use case; nothing of it is global.
 */
#ifndef VESTAL_CUSTODY_CUSTODY_H
#define VESTAL_CUSTODY_CUSTODY_H

#include "base/conf.h"
#include "base/secret.h"
#include "oauth/http.h"
#include "oauth/provider.h"
#include "store/db.h"
#include "vault/keyring.h"

#include <sys/types.h>

struct custody_renewer;
struct custody_callers;

struct custody {
	const struct conf *conf;
	enum store_role role; /* a worker alone brings a token, or takes one away */
	struct store_db *db;
	struct vault_keyring *keyring;
	struct oauth_providers *providers;
	struct oauth_http *http;
	struct custody_renewer *renewer; /* NULL: this program renews nothing */
	struct custody_callers *callers; /* NULL: this program remembers nobody */
	gid_t environment_gid;           /* (gid_t)-1: as it is */
};

#define CUSTODY_HEAP_BYTES ((size_t)512 * 1024) /* for one unit of work at a time */

/*
 * Brings up everything a program needs but the database, which may be away: keys, definitions,
 * libraries. rings: bits of enum vault_ring. heap_bytes: the secure heap, a power of two; the first
 * one that a process made stays. Returns: ERR_CONFIG, ERR_KEY_UNSAFE, ERR_NO_MEMORY with the reason
 * as the work's detail. Owns: what is loaded lives as long as boot, which outlives *c;
 * custody_close() ends the rest.
 */
enum err custody_open(struct work *boot, const struct conf *conf, const char *program,
	enum store_role role, unsigned rings, size_t heap_bytes, struct custody *c) MUST_CHECK;
void custody_close(struct custody *c);

/* The log level a configuration names. */
int custody_log_level(const struct conf *conf);

/* A provider by its name. Returns: ERR_INPUT with the field "provider" named. */
enum err custody_provider(struct work *w, const struct custody *c, const char *name,
	const struct oauth_provider **provider) MUST_CHECK;

#endif
