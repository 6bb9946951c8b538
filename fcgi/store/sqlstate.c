/* The table of SQLSTATEs that mean something to us: what passes, what a person mends, what a caller
 * did. */
#include "store/sqlstate.h"

#include "base/text.h"

/* The first row whose prefix matches decides. */
static const struct {
	const char *prefix;
	enum err err;
} states[] = {
	{"23505", ERR_EXISTS},          /* unique_violation */
	{"23503", ERR_IN_USE},          /* foreign_key_violation */
	{"40001", ERR_CONFLICT},        /* serialization_failure */
	{"40P01", ERR_CONFLICT},        /* deadlock_detected */
	{"55000", ERR_CONFLICT},        /* object_not_in_prerequisite_state */
	{"55P03", ERR_DB_TIMEOUT},      /* lock_not_available */
	{"57014", ERR_DB_TIMEOUT},      /* query_canceled */
	{"57", ERR_DB_AWAY},            /* operator_intervention */
	{"08", ERR_DB_AWAY},            /* connection_exception */
	{"53", ERR_DB_AWAY},            /* insufficient_resources */
	{"25006", ERR_DB_AWAY},         /* read_only_sql_transaction: a standby */
	{"25P03", ERR_DB_AWAY},         /* idle_in_transaction_session_timeout */
	{"0A000", ERR_SCHEMA_MISMATCH}, /* feature_not_supported: a cached plan whose result changed
					 */
	{"3F000", ERR_SCHEMA_MISMATCH}, /* invalid_schema_name */
	{"42P01", ERR_SCHEMA_MISMATCH}, /* undefined_table */
	{"42703", ERR_SCHEMA_MISMATCH}, /* undefined_column */
	{"42883", ERR_SCHEMA_MISMATCH}, /* undefined_function */
};

enum err store_sqlstate_err(const char *state)
{
	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++)
		if (text_starts(state, states[i].prefix))
			return states[i].err;
	return ERR_DB;
}
