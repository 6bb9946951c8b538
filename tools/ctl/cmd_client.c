/* client: the tenants. */
#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "ctl/value.h"
#include "custody/onboard.h"
#include "store/client.h"

static void show(struct ctl *ctl, const char *client, const char *what)
{
	struct jout *j = &ctl->out.json;

	if (!ctl->out.is_json) {
		buf_printf(&ctl->out.text, "client %s %s\n", client, what);
		return;
	}
	jout_object(j, NULL);
	jout_text(j, "clientId", client);
	jout_text(j, "result", what);
	jout_end_object(j);
}

enum err ctl_cmd_client_add(struct ctl *ctl)
{
	struct custody_onboarding onboarding = {.client = ctl->args->positionals[0],
		.name = ctl_args_text(ctl->args, CTL_OPT_NAME)};
	const char *fault = onboarding.name ? ctl_value_name_fault(onboarding.name) : NULL;
	enum err err = ctl_check_client(ctl, onboarding.client);

	if (!err && fault)
		err = ctl_bad_option(ctl, CTL_OPT_NAME, onboarding.name, fault);
	if (!err)
		err = custody_onboard(ctl->w, &ctl->c, &onboarding);
	if (!err)
		show(ctl, onboarding.client, onboarding.is_new ? "added" : "changed");
	return err;
}

enum err ctl_cmd_client_remove(struct ctl *ctl)
{
	const char *client = ctl->args->positionals[0];
	enum err err = ctl_check_client(ctl, client);

	if (!err)
		err = custody_onboard_remove(ctl->w, &ctl->c, client);
	if (err == ERR_CLIENT_UNKNOWN)
		return work_fail(ctl->w, err, "CLIENT: there is no client %s", client);
	if (!err)
		show(ctl, client, "removed");
	return err;
}

static void show_json(struct ctl *ctl, const struct store_client *clients, size_t n)
{
	struct jout *j = &ctl->out.json;

	jout_object(j, NULL);
	jout_array(j, "clients");
	for (size_t i = 0; i < n; i++) {
		jout_object(j, NULL);
		jout_text(j, "clientId", clients[i].id);
		jout_text(j, "name", clients[i].name);
		jout_raw(j, "providers", clients[i].providers_json);
		jout_end_object(j);
		ctl_out_drain(&ctl->out);
	}
	jout_end_array(j);
	jout_end_object(j);
}

static enum err show_table(struct ctl *ctl, const struct store_client *clients, size_t n)
{
	static const char *const heads[] = {"CLIENT", "NAME", "PROVIDERS", NULL};
	struct ctl_table table;
	enum err err = ERR_OK;

	ctl_table_begin(&table, &ctl->out, heads, 0);
	for (size_t i = 0; !err && i < n; i++) {
		const char *providers = NULL;

		err = ctl_words(ctl, clients[i].providers_json, &providers);
		if (!err)
			ctl_table_row(&table, CTL_PLAIN,
				(const char *const[]){clients[i].id, clients[i].name, providers});
	}
	ctl_table_end(&table);
	return err;
}

enum err ctl_cmd_client_list(struct ctl *ctl)
{
	const struct store_scope all = {0};
	struct store_client *clients = NULL;
	size_t n = 0;
	enum err err = store_client_list(ctl->w, ctl->c.db, &all, &clients, &n);

	if (err)
		return err;
	if (!ctl->out.is_json)
		return show_table(ctl, clients, n);
	show_json(ctl, clients, n);
	return ERR_OK;
}
