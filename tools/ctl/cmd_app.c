/* app: the OAuth applications used with providers. Their secret comes from a file or standard
 * input and goes into the secure heap, nowhere else. */
#include "base/text.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "ctl/value.h"
#include "custody/app.h"
#include "store/client.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SECRET_MAX_BYTES ((size_t)4096)
#define PARAMS_MAX_BYTES ((size_t)32 * 1024) /* 100 words of 64 bytes, each with one of 128 */

/* --- the client secret ----------------------------------------------------------------------- */

static const char *input_name(const struct ctl *ctl)
{
	return ctl->input == STDIN_FILENO ? "standard input"
					  : ctl_args_text(ctl->args, CTL_OPT_CLIENT_SECRET_FILE);
}

static enum err bad_secret(struct ctl *ctl, const char *fault)
{
	return ctl_bad_option(ctl, CTL_OPT_CLIENT_SECRET_FILE, input_name(ctl), fault);
}

static enum err read_input(struct ctl *ctl, struct secret *space, size_t *n)
{
	unsigned char *bytes = secret_fill(space);
	ssize_t got = 1;

	*n = 0;
	while (got && *n < secret_len(space)) {
		got = read(ctl->input, bytes + *n, secret_len(space) - *n);
		if (got < 0 && errno != EINTR)
			return work_fail(ctl->w, ERR_IO,
				"--client-secret-file: %s cannot be read: %s", input_name(ctl),
				strerror(errno));
		if (got > 0)
			*n += (size_t)got;
	}
	return ERR_OK;
}

/* The whole input without the newline an editor put behind it. */
static enum err read_secret(struct ctl *ctl, struct secret **secret)
{
	struct secret *space = secret_new(ctl->w, NULL, SECRET_MAX_BYTES + 1);
	const char *bytes;
	size_t n = 0;
	enum err err;

	if (!space)
		return ERR_NO_MEMORY;
	err = read_input(ctl, space, &n);
	if (err)
		return err;
	bytes = secret_reveal(space);
	if (n > SECRET_MAX_BYTES)
		return bad_secret(ctl, "is larger than a client secret");
	if (n && bytes[n - 1] == '\n')
		n--;
	if (n && bytes[n - 1] == '\r')
		n--;
	*secret = secret_new(ctl->w, bytes, n);
	if (!*secret)
		return ERR_NO_MEMORY;
	if (!n)
		return bad_secret(ctl, "is empty");
	if (strlen(secret_reveal(*secret)) != n || text_has_control(secret_reveal(*secret)))
		return bad_secret(ctl, "holds more than one line of text");
	return ERR_OK;
}

/* --- the other options ----------------------------------------------------------------------- */

static enum err choose_datacenter(
	struct ctl *ctl, const struct oauth_provider *provider, const char **datacenter)
{
	const char *asked = ctl_args_text(ctl->args, CTL_OPT_DATACENTER), *known = NULL;

	if (asked ? oauth_provider_datacenter(provider, asked) != NULL
		  : !provider->datacenter_count || provider->default_datacenter != NULL) {
		*datacenter = asked                          ? asked
			      : provider->default_datacenter ? provider->default_datacenter->name
							     : "";
		return ERR_OK;
	}
	for (size_t i = 0; i < provider->datacenter_count; i++)
		known = work_printf(ctl->w, "%s%s%s", known ? known : "", known ? ", " : "",
			provider->datacenters[i].name);
	return work_fail(ctl->w, ERR_USAGE, "--datacenter: %s has %s%s", provider->name,
		known ? "" : "no data centres", known ? known : "");
}

static enum err check_redirect_uri(
	struct ctl *ctl, const struct oauth_provider *provider, const char *uri)
{
	const char *fault = ctl_value_redirect_uri_fault(uri);
	const char *path = work_printf(ctl->w, "/api/oauth/callback/%s", provider->name);
	size_t n = strlen(uri), path_n = strlen(path);

	if (fault)
		return ctl_bad_option(ctl, CTL_OPT_REDIRECT_URI, uri, fault);
	if (n < path_n || !text_equal(uri + n - path_n, path))
		ctl_note("warning: the redirect URI does not end in %s, where the callback is "
			 "expected",
			path);
	return ERR_OK;
}

static enum err check_client(struct ctl *ctl, const char *client)
{
	enum err err;

	if (!client)
		return ERR_OK;
	if (!text_is_client_id(client))
		return ctl_bad_option(ctl, CTL_OPT_CLIENT, client, "is not a client id");
	err = store_client_get(ctl->w, ctl->c.db, client, NULL);
	return err == ERR_CLIENT_UNKNOWN ? ctl_no_client(ctl, "--client", client) : err;
}

/* The value that an option gives to one of the definition's words, or NULL. */
static const char *param_value(const struct ctl_args *args, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < args->counts[CTL_OPT_PARAM]; i++) {
		const char *text = args->values[CTL_OPT_PARAM][i];

		if (text_starts(text, name) && text[n] == '=')
			return text + n + 1;
	}
	return NULL;
}

/* Whether an option names one of the words, and no earlier one the same. */
static const char *param_fault(
	const struct ctl_args *args, const struct oauth_words *words, const char *text)
{
	size_t n = strcspn(text, "="), i = 0;

	while (i < words->count &&
		!(strlen(words->items[i]) == n && text_starts(text, words->items[i])))
		i++;
	if (!text[n])
		return "is not NAME=VALUE";
	if (i == words->count)
		return "is no word of the provider's definition";
	if (param_value(args, words->items[i]) != text + n + 1)
		return "names its word a second time";
	return oauth_provider_is_param_value(text + n + 1) ? NULL : "has a value that fits no URL";
}

/* What the definition's `params` stand for: each of them, and nothing else. */
static enum err read_params(
	struct ctl *ctl, const struct oauth_provider *provider, const char **params_json)
{
	const struct ctl_args *args = ctl->args;
	const struct oauth_words *words = &provider->params;
	struct buf text;
	struct jout j;

	for (size_t i = 0; i < args->counts[CTL_OPT_PARAM]; i++) {
		const char *option = args->values[CTL_OPT_PARAM][i];
		const char *fault = param_fault(args, words, option);

		if (fault)
			return ctl_bad_option(ctl, CTL_OPT_PARAM, option, fault);
	}
	buf_init(&text, ctl->w, PARAMS_MAX_BYTES);
	jout_init(&j, &text);
	jout_object(&j, NULL);
	for (size_t i = 0; i < words->count; i++) {
		if (!param_value(args, words->items[i]))
			return work_fail(ctl->w, ERR_USAGE, "--param: %s needs %s=VALUE",
				provider->name, words->items[i]);
		jout_text(&j, words->items[i], param_value(args, words->items[i]));
	}
	jout_end_object(&j);
	*params_json = text.data;
	return ERR_OK;
}

static enum err read_row(struct ctl *ctl, const struct oauth_provider **provider,
	struct store_app *row, const char **secret_ends_on)
{
	const struct ctl_args *args = ctl->args;
	const char *client = ctl_args_text(args, CTL_OPT_CLIENT), *fault = NULL;
	int64_t at_s;
	enum err err = ctl_find_provider(ctl, args->positionals[0], provider);

	*row = (struct store_app){.owner = client ? client : "",
		.oauth_client_id = ctl_args_text(args, CTL_OPT_CLIENT_ID),
		.redirect_uri = ctl_args_text(args, CTL_OPT_REDIRECT_URI)};
	*secret_ends_on = ctl_args_text(args, CTL_OPT_SECRET_ENDS);
	if (err)
		return err;
	err = choose_datacenter(ctl, *provider, &row->datacenter);
	if (!err)
		err = check_redirect_uri(ctl, *provider, row->redirect_uri);
	if (!err)
		err = read_params(ctl, *provider, &row->params_json);
	if (!err && *secret_ends_on)
		fault = ctl_value_day_fault(*secret_ends_on, &at_s);
	if (fault)
		err = ctl_bad_option(ctl, CTL_OPT_SECRET_ENDS, *secret_ends_on, fault);
	return err ? err : check_client(ctl, client);
}

static const char *or_null(const char *text)
{
	return *text ? text : NULL;
}

static void show(
	struct ctl *ctl, const struct oauth_provider *provider, const struct store_app *row)
{
	struct jout *j = &ctl->out.json;

	if (!ctl->out.is_json) {
		buf_printf(&ctl->out.text, "app %s of %s is set for %s%s%s%s\n",
			row->oauth_client_id, provider->name,
			*row->owner ? "client " : "all clients", row->owner,
			*row->datacenter ? ", data centre " : "", row->datacenter);
		return;
	}
	jout_object(j, NULL);
	jout_text(j, "provider", provider->name);
	jout_text(j, "clientId", or_null(row->owner));
	jout_text(j, "datacenter", or_null(row->datacenter));
	jout_text(j, "oauthClientId", row->oauth_client_id);
	jout_text(j, "redirectUri", row->redirect_uri);
	jout_int(j, "generation", row->generation);
	jout_end_object(j);
}

enum err ctl_cmd_app_set(struct ctl *ctl)
{
	const struct oauth_provider *provider = NULL;
	const char *secret_ends_on = NULL;
	struct secret *secret = NULL;
	struct store_app row;
	enum err err = read_row(ctl, &provider, &row, &secret_ends_on);

	if (!err)
		err = read_secret(ctl, &secret);
	if (!err)
		err = custody_app_set(
			ctl->w, &ctl->c, provider->name, &row, secret, secret_ends_on);
	if (!err)
		show(ctl, provider, &row);
	return err;
}

/* --- the list -------------------------------------------------------------------------------- */

static void show_json(struct jout *j, const struct store_app_entry *app)
{
	jout_object(j, NULL);
	jout_text(j, "provider", app->provider);
	jout_text(j, "clientId", or_null(app->owner));
	jout_text(j, "datacenter", or_null(app->datacenter));
	jout_text(j, "oauthClientId", app->oauth_client_id);
	jout_text(j, "redirectUri", app->redirect_uri);
	jout_text(j, "secretEndsOn", app->secret_ends_on);
	jout_end_object(j);
}

static void show_table(struct ctl *ctl, const struct store_app_entry *apps, size_t n)
{
	static const char *const heads[] = {"PROVIDER", "CLIENT", "DATA CENTRE", "OAUTH CLIENT ID",
		"SECRET ENDS", "REDIRECT URI", NULL};
	struct ctl_table table;

	ctl_table_begin(&table, &ctl->out, heads, 0);
	for (size_t i = 0; i < n; i++)
		ctl_table_row(&table, CTL_PLAIN,
			(const char *const[]){apps[i].provider,
				*apps[i].owner ? apps[i].owner : "(all)", apps[i].datacenter,
				apps[i].oauth_client_id, apps[i].secret_ends_on,
				apps[i].redirect_uri});
	ctl_table_end(&table);
}

enum err ctl_cmd_app_list(struct ctl *ctl)
{
	struct jout *j = &ctl->out.json;
	struct store_app_entry *apps = NULL;
	size_t n = 0;
	enum err err = store_app_list(ctl->w, ctl->c.db, &apps, &n);

	if (err)
		return err;
	if (!ctl->out.is_json) {
		show_table(ctl, apps, n);
		return ERR_OK;
	}
	jout_object(j, NULL);
	jout_array(j, "apps");
	for (size_t i = 0; i < n; i++)
		show_json(j, &apps[i]);
	jout_end_array(j);
	jout_end_object(j);
	return ERR_OK;
}
