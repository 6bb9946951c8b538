/* Who a program is to the database, and how it connects. It decides what the operator's connection
 * string may say, and what not. */
#include "store/role.h"

#include "base/text.h"

#include <libpq-fe.h>

#define CONNECT_S "3" /* a host */

struct role_row {
	const char *user, *program, *options;
};

#define COMMON_OPTIONS                                                                             \
	"-c search_path=pg_catalog -c client_min_messages=error -c timezone=UTC "                  \
	"-c synchronous_commit=on -c jit=off -c lock_timeout=5s -c "                               \
	"idle_in_transaction_session_timeout=30s "

static const struct role_row roles[] = {
	[STORE_WORKER] = {"vestal_worker", "vestal-fcgi",
		COMMON_OPTIONS "-c statement_timeout=15s"},
	[STORE_REFRESHER] = {"vestal_refresher", "vestal-refresh",
		COMMON_OPTIONS "-c statement_timeout=30s"},
	[STORE_OPERATOR] = {"vestal_operator", "vestalctl",
		COMMON_OPTIONS "-c statement_timeout=0"},
	[STORE_SEALER] = {"vestal_sealer", "vestalctl", COMMON_OPTIONS "-c statement_timeout=0"},
};

const char *store_role_user(enum store_role role)
{
	return roles[role].user;
}

const char *store_role_program(enum store_role role)
{
	return roles[role].program;
}

/* Each program adds its own user, so that no two roles are ever one by a slip of the configuration.
 */
enum err store_role_check_conninfo(struct work *w, const struct conf *conf)
{
	char *fault = NULL;
	PQconninfoOption *options = PQconninfoParse(conf_text(conf, CONF_database), &fault);
	const char *wrong = options ? NULL : "is not a connection string";

	PQfreemem(fault); /* it may repeat a password */
	for (PQconninfoOption *o = options; o && o->keyword; o++)
		if (o->val && text_equal(o->keyword, "user"))
			wrong = "must name no user: each program adds its own";
	PQconninfoFree(options);
	return wrong ? work_fail(w, ERR_CONFIG, "setting database %s (set in %s)", wrong,
			       conf->origin[CONF_database])
		     : ERR_OK;
}

struct pg_conn *store_role_connect(enum store_role role, const char *conninfo)
{
	const struct role_row *row = &roles[role];
	/* What stands before dbname may be overruled by the operator's connection string, what
	 * stands after may not. */
	const char *const names[] = {"target_session_attrs", "tcp_user_timeout", "connect_timeout",
		"dbname", "user", "application_name", "options", NULL};
	const char *const values[] = {"read-write", "10000", CONNECT_S, conninfo, row->user,
		row->program, row->options, NULL};

	return PQconnectdbParams(names, values, 1);
}
