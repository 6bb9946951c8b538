/* reauthorize: the way back for connections that only a person can mend. The old token, if there
 * is one, keeps serving until the new one is proved. */
#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "custody/flow.h"
#include "store/report.h"

#include <inttypes.h>

#define REASON "vestalctl reauthorize"
#define EXIT_LEFT 2

struct links {
	struct ctl *ctl;
	struct ctl_table table;
	size_t begun, left;
};

static void show_json(struct jout *j, const struct custody_flow *flow, const char *fault)
{
	jout_object(j, NULL);
	jout_text(j, "clientId", flow->client);
	jout_text(j, "provider", flow->provider);
	jout_text(j, "authorizationUrl", fault ? NULL : flow->authorization_url);
	jout_text(j, "expiresAt", fault ? NULL : flow->expires_at);
	if (fault)
		jout_null(j, "incidentId");
	else
		jout_int(j, "incidentId", flow->incident_id);
	jout_text(j, "fault", fault);
	jout_end_object(j);
}

/* --- one -------------------------------------------------------------------------------------- */

static void show_one(struct ctl *ctl, const struct custody_flow *flow)
{
	if (ctl->out.is_json)
		show_json(&ctl->out.json, flow, NULL);
	else
		buf_printf(&ctl->out.text,
			"open until %s, signed in as the account that owns the data:\n%s\n"
			"incident %" PRId64
			" is open; it closes by itself when the new token is proved\n",
			flow->expires_at, flow->authorization_url, flow->incident_id);
}

static enum err link_one(struct ctl *ctl, const char *client, const char *provider)
{
	struct custody_flow flow = {.client = client,
		.provider = provider,
		.reason = REASON,
		.kind = CUSTODY_FLOW_EMERGENCY};
	const struct oauth_provider *known = NULL;
	enum err err = ctl_check_client(ctl, client);

	if (!err)
		err = ctl_find_provider(ctl, provider, &known);
	if (!err)
		err = custody_flow_begin(ctl->w, &ctl->c, &flow);
	if (err == ERR_CLIENT_UNKNOWN)
		return ctl_no_client(ctl, "CLIENT", client);
	if (err == ERR_CONNECTION_UNKNOWN)
		return work_fail(ctl->w, err,
			"client %s is not connected to %s; vestalctl connect %s %s connects it",
			client, provider, client, provider);
	if (!err)
		show_one(ctl, &flow);
	return err;
}

/* --- all that need it ------------------------------------------------------------------------- */

static enum err link_next(struct links *l, const struct store_needed *needed)
{
	struct ctl *ctl = l->ctl;
	struct custody_flow flow = {.client = needed->client,
		.provider = needed->provider,
		.reason = REASON,
		.kind = CUSTODY_FLOW_EMERGENCY};
	const char *fault = NULL;
	struct work own;
	enum err err;

	work_begin(&own, work_left_ms(ctl->w));
	own.origin = ctl->w->origin;
	err = custody_flow_begin(&own, &ctl->c, &flow);
	if (err)
		fault = err_slug(err);
	*(err ? &l->left : &l->begun) += 1;
	if (ctl->out.is_json)
		show_json(&ctl->out.json, &flow, fault);
	else
		ctl_table_row(&l->table, fault ? CTL_BAD : CTL_PLAIN,
			(const char *const[]){flow.client, flow.provider,
				fault ? NULL : flow.expires_at,
				fault ? fault : flow.authorization_url});
	ctl_out_drain(&ctl->out);
	work_end(&own);
	return err == ERR_DB_AWAY || err == ERR_DB_TIMEOUT ? err : ERR_OK;
}

static enum err link_all(struct ctl *ctl)
{
	static const char *const heads[] = {"CLIENT", "PROVIDER", "OPEN UNTIL", "LINK", NULL};
	struct links l = {.ctl = ctl};
	struct store_needed *needed = NULL;
	size_t n = 0;
	enum err err = store_report_need_link(ctl->w, ctl->c.db, &needed, &n);

	if (err)
		return err;
	if (ctl->out.is_json) {
		jout_object(&ctl->out.json, NULL);
		jout_array(&ctl->out.json, "links");
	} else
		ctl_table_begin(&l.table, &ctl->out, heads, 3);
	for (size_t i = 0; !err && i < n; i++)
		err = link_next(&l, &needed[i]);
	if (ctl->out.is_json) {
		jout_end_array(&ctl->out.json);
		jout_end_object(&ctl->out.json);
	} else
		ctl_table_end(&l.table);
	ctl->exit_code = l.left ? EXIT_LEFT : 0;
	return err;
}

enum err ctl_cmd_reauthorize(struct ctl *ctl)
{
	const struct ctl_args *args = ctl->args;
	const int is_all = ctl_args_has(args, CTL_OPT_ALL_NEEDED);

	if (args->positional_count != (is_all ? 0 : 2))
		return work_fail(
			ctl->w, ERR_USAGE, "give CLIENT and PROVIDER, or --all-needed alone");
	return is_all ? link_all(ctl) : link_one(ctl, args->positionals[0], args->positionals[1]);
}
