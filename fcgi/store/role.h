/* Who a program is to the database: its user, its limits, and how it connects. */
#ifndef VESTAL_STORE_ROLE_H
#define VESTAL_STORE_ROLE_H

#include "base/conf.h"
#include "base/work.h"
#include "store/db.h"

const char *store_role_user(enum store_role role);
const char *store_role_program(enum store_role role);

/* Returns: ERR_CONFIG for a setting `database` that libpq cannot read or that names a user: each
 * program adds its own, so that no two roles are ever one by a slip of the configuration. */
enum err store_role_check_conninfo(struct work *w, const struct conf *conf) MUST_CHECK;

/*
 * Connects by libpq's own blocking way: it alone gives each host of the string its time, and goes
 * on to the next when one hangs. Returns a PGconn, also a failed one; NULL without memory. Owns:
 * the caller (PQfinish).
 */
struct pg_conn *store_role_connect(enum store_role role, const char *conninfo) MUST_CHECK;

#endif
