/* What to tell a person of an error. It decides which of what was recorded is said, and where to
 * look for the reason. */
#include "ctl/explain.h"

#include "store/db.h"
#include "store/stmt.h"

const char *ctl_explain_fault(struct work *w, const struct conf *conf, enum err err)
{
	const char *text = err_title(err);

	if (w->detail)
		return w->detail;
	if (w->fault_count)
		return work_printf(w, "%s %s", w->faults[0].field, w->faults[0].reason);
	if (w->cause)
		text = work_printf(w, "%s (%s)", text, w->cause);
	if (err == ERR_SCHEMA_MISMATCH)
		return work_printf(w,
			"%s: this program's version is %d; vestalctl migrate brings "
			"an older one up to it",
			text, STORE_SCHEMA_VERSION);
	if ((err == ERR_DB_AWAY || err == ERR_DB_TIMEOUT) && conf->origin[CONF_database])
		return work_printf(w, "%s: see setting database (set in %s)", text,
			conf->origin[CONF_database]);
	return text;
}
