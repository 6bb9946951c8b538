/* undo: back to the grant that was there before. */
#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "custody/renew.h"
#include "custody/undo.h"

#include <inttypes.h>
#include <string.h>

static void show(struct ctl *ctl, const struct custody_undoing *done)
{
	struct jout *j = &ctl->out.json;

	if (!ctl->out.is_json) {
		buf_printf(&ctl->out.text,
			"%s is back at %s with the token of generation %" PRId64
			", which is generation %" PRId64 " now: %s\n",
			done->client, done->provider, done->from, done->generation, done->status);
		return;
	}
	jout_object(j, NULL);
	jout_text(j, "clientId", done->client);
	jout_text(j, "provider", done->provider);
	jout_text(j, "status", done->status);
	jout_int(j, "from", done->from);
	jout_int(j, "generation", done->generation);
	jout_end_object(j);
}

/* With a spool, for an answer that must not be lost. */
static enum err undo(struct ctl *ctl, struct custody_undoing *asked)
{
	enum err err = ERR_NO_MEMORY;

	ctl->c.renewer = custody_renewer_new(&ctl->c, 1);
	if (ctl->c.renewer)
		err = custody_undo(ctl->w, &ctl->c, asked);
	custody_renewer_free(ctl->c.renewer);
	ctl->c.renewer = NULL;
	return err;
}

enum err ctl_cmd_undo(struct ctl *ctl)
{
	struct custody_undoing asked = {.client = ctl->args->positionals[0],
		.provider = ctl->args->positionals[1],
		.reason = ctl_args_text(ctl->args, CTL_OPT_REASON)};
	const struct oauth_provider *known = NULL;
	enum err err = ctl_check_client(ctl, asked.client);

	if (!err)
		err = ctl_find_provider(ctl, asked.provider, &known);
	if (!err && !asked.reason[strspn(asked.reason, " ")])
		err = ctl_bad_option(ctl, CTL_OPT_REASON, asked.reason, "says nothing");
	if (!err)
		err = undo(ctl, &asked);
	if (err == ERR_CLIENT_UNKNOWN)
		return ctl_no_client(ctl, "CLIENT", asked.client);
	if (!err)
		show(ctl, &asked);
	return err;
}
