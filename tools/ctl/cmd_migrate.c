/* migrate: the schema brought up to this program's version. */
#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "store/migrate.h"

enum err ctl_cmd_migrate(struct ctl *ctl)
{
	int from = 0, to = STORE_SCHEMA_VERSION;
	enum err err = store_migrate(ctl->w, ctl->c.db, &from);

	if (err)
		return err;
	if (ctl->out.is_json) {
		jout_object(&ctl->out.json, NULL);
		jout_int(&ctl->out.json, "from", from);
		jout_int(&ctl->out.json, "to", to);
		jout_end_object(&ctl->out.json);
	} else if (from == to)
		buf_printf(&ctl->out.text,
			"the schema is at version %d already; views and grants were "
			"made anew\n",
			to);
	else
		buf_printf(&ctl->out.text, "schema version %d -> %d\n", from, to);
	return ERR_OK;
}
