/* connect: a client's connection to a provider, and what has to be done next. */
#include "base/text.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "custody/import.h"
#include "custody/onboard.h"
#include "store/app.h"

#include <string.h>

static enum err has_app(struct ctl *ctl, const char *client, const char *provider, int *found)
{
	struct store_app_entry *apps = NULL;
	size_t n = 0;
	enum err err = store_app_list(ctl->w, ctl->c.db, &apps, &n);

	*found = 0;
	for (size_t i = 0; !err && i < n; i++)
		*found |= text_equal(apps[i].provider, provider) &&
			  (!*apps[i].owner || text_equal(apps[i].owner, client));
	return err;
}

static void show_json(
	struct ctl *ctl, const char *client, const char *provider, const char *url, int found)
{
	struct jout *j = &ctl->out.json;

	jout_object(j, NULL);
	jout_text(j, "clientId", client);
	jout_text(j, "provider", provider);
	jout_bool(j, "appMissing", !found);
	jout_text(j, "authorizeUrl", url);
	jout_end_object(j);
}

static void show_text(
	struct ctl *ctl, const char *client, const char *provider, const char *url, int found)
{
	struct buf *text = &ctl->out.text;

	buf_printf(text, "%s is connected to %s\n", client, provider);
	if (!found)
		buf_printf(text, "first: %s has no app yet: vestalctl app set %s ...\n", provider,
			provider);
	buf_printf(text,
		"next:  open %s\n       as an administrator (a session, or an API key of role "
		"admin)\n",
		url);
}

enum err ctl_cmd_connect(struct ctl *ctl)
{
	const char *client = ctl->args->positionals[0], *provider = ctl->args->positionals[1];
	const char *base = conf_text(&ctl->conf, CONF_public_url), *url;
	const struct oauth_provider *known = NULL;
	size_t n = strlen(base);
	int found = 0;
	enum err err = ctl_check_client(ctl, client);

	if (!err)
		err = ctl_find_provider(ctl, provider, &known);
	if (!err)
		err = custody_onboard_connect(ctl->w, &ctl->c, client, provider);
	if (err == ERR_CLIENT_UNKNOWN)
		return ctl_no_client(ctl, "CLIENT", client);
	if (!err)
		err = has_app(ctl, client, provider, &found);
	if (err)
		return err;
	url = work_printf(ctl->w, "%.*s/api/oauth/authorize/%s?provider=%s",
		(int)(n && base[n - 1] == '/' ? n - 1 : n), base, client, provider);
	(ctl->out.is_json ? show_json : show_text)(ctl, client, provider, url, found);
	return ERR_OK;
}

enum err ctl_cmd_activate(struct ctl *ctl)
{
	const char *client = ctl->args->positionals[0], *provider = ctl->args->positionals[1];
	struct jout *j = &ctl->out.json;
	const struct oauth_provider *known = NULL;
	enum err err = ctl_check_client(ctl, client);

	if (!err)
		err = ctl_find_provider(ctl, provider, &known);
	if (!err)
		err = custody_import_activate(ctl->w, &ctl->c, client, provider);
	if (err == ERR_CLIENT_UNKNOWN)
		return ctl_no_client(ctl, "CLIENT", client);
	if (err == ERR_CONNECTION_UNKNOWN)
		return work_fail(ctl->w, err, "client %s is not connected to %s", client, provider);
	if (err)
		return err;
	if (!ctl->out.is_json) {
		buf_printf(
			&ctl->out.text, "%s is renewed here from now on at %s\n", client, provider);
		return ERR_OK;
	}
	jout_object(j, NULL);
	jout_text(j, "clientId", client);
	jout_text(j, "provider", provider);
	jout_bool(j, "passive", 0);
	jout_end_object(j);
	return ERR_OK;
}
