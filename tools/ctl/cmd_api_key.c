/* api-key: who may call the service. A key is shown when it is made and never again. */
#include "base/clock.h"
#include "base/text.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "ctl/value.h"
#include "custody/caller.h"
#include "store/api_key.h"
#include "store/client.h"

/* --- create: the options --------------------------------------------------------------------- */

static enum err check_role(struct ctl *ctl)
{
	const char *role = ctl_args_text(ctl->args, CTL_OPT_ROLE);
	int has_clients = ctl_args_has(ctl->args, CTL_OPT_CLIENT);
	int has_all = ctl_args_has(ctl->args, CTL_OPT_ALL_CLIENTS);

	if (!custody_role_by_name(role))
		return ctl_bad_option(ctl, CTL_OPT_ROLE, role,
			"is not a role; there is admin, operator, auditor and service");
	if (has_clients && has_all)
		return work_fail(
			ctl->w, ERR_USAGE, "--client and --all-clients exclude each other");
	if (custody_role_by_name(role) == CUSTODY_SERVICE && !has_clients && !has_all)
		return work_fail(ctl->w, ERR_USAGE,
			"--role service needs --client for each client it may read, or "
			"--all-clients");
	return ERR_OK;
}

static enum err check_clients(struct ctl *ctl)
{
	enum err err = ERR_OK;

	for (size_t i = 0; !err && i < ctl->args->counts[CTL_OPT_CLIENT]; i++) {
		const char *client = ctl->args->values[CTL_OPT_CLIENT][i];

		if (!text_is_client_id(client))
			return ctl_bad_option(ctl, CTL_OPT_CLIENT, client, "is not a client id");
		err = store_client_get(ctl->w, ctl->c.db, client, NULL);
		if (err == ERR_CLIENT_UNKNOWN) {
			ctl_note("warning: there is no client %s yet", client);
			err = ERR_OK;
		}
	}
	return err;
}

static enum err check_lists(struct ctl *ctl)
{
	const struct ctl_args *args = ctl->args;

	for (size_t i = 0; i < args->counts[CTL_OPT_PROVIDER]; i++)
		if (!oauth_provider_find(ctl->c.providers, args->values[CTL_OPT_PROVIDER][i]))
			return ctl_bad_option(ctl, CTL_OPT_PROVIDER,
				args->values[CTL_OPT_PROVIDER][i], "is not a known provider");
	for (size_t i = 0; i < args->counts[CTL_OPT_ADDRESS]; i++) {
		const char *address = args->values[CTL_OPT_ADDRESS][i];
		const char *fault = ctl_value_network_fault(address);

		if (fault)
			return ctl_bad_option(ctl, CTL_OPT_ADDRESS, address, fault);
	}
	return ERR_OK;
}

static enum err check_texts(struct ctl *ctl)
{
	const char *name = ctl_args_text(ctl->args, CTL_OPT_NAME);
	const char *expires = ctl_args_text(ctl->args, CTL_OPT_EXPIRES);
	const char *fault = ctl_value_name_fault(name);
	int64_t at_s = 0;

	if (fault)
		return ctl_bad_option(ctl, CTL_OPT_NAME, name, fault);
	if (!expires)
		return ERR_OK;
	fault = ctl_value_time_fault(expires, &at_s);
	if (!fault && at_s * 1000 <= clock_wall_ms())
		fault = "is past already";
	return fault ? ctl_bad_option(ctl, CTL_OPT_EXPIRES, expires, fault) : ERR_OK;
}

/* --- create ---------------------------------------------------------------------------------- */

static const char *const *list_or_null(const struct ctl_args *args, enum ctl_option option)
{
	return args->values[option]; /* not given: NULL, which means all */
}

static void show_list(struct jout *j, const char *key, const char *const *words, size_t n)
{
	if (!words) {
		jout_null(j, key);
		return;
	}
	jout_array(j, key);
	for (size_t i = 0; i < n; i++)
		jout_text(j, NULL, words[i]);
	jout_end_array(j);
}

static void show_new_json(struct ctl *ctl, const struct custody_new_key *key)
{
	struct jout *j = &ctl->out.json;

	jout_object(j, NULL);
	jout_text(j, "id", key->id);
	jout_text(j, "key", secret_reveal(key->key));
	jout_text(j, "name", key->name);
	jout_text(j, "role", key->role);
	show_list(j, "clients", key->scope.clients, key->scope.client_count);
	show_list(j, "providers", key->scope.providers, key->scope.provider_count);
	show_list(j, "addresses", key->addresses, key->address_count);
	jout_text(j, "expiresAt", key->expires_at);
	jout_end_object(j);
}

static void show_new(struct ctl *ctl, const struct custody_new_key *key)
{
	if (ctl->out.is_json) {
		show_new_json(ctl, key);
		return;
	}
	buf_add(&ctl->out.text, secret_reveal(key->key), secret_len(key->key));
	buf_char(&ctl->out.text, '\n');
	ctl_note("the API key of %s (role %s) is shown this once; vestalctl api-key revoke %s ends "
		 "it",
		key->name, key->role, key->id);
}

enum err ctl_cmd_api_key_create(struct ctl *ctl)
{
	const struct ctl_args *args = ctl->args;
	struct custody_new_key key = {.name = ctl_args_text(args, CTL_OPT_NAME),
		.role = ctl_args_text(args, CTL_OPT_ROLE),
		.scope = {.clients = list_or_null(args, CTL_OPT_CLIENT),
			.client_count = args->counts[CTL_OPT_CLIENT],
			.providers = list_or_null(args, CTL_OPT_PROVIDER),
			.provider_count = args->counts[CTL_OPT_PROVIDER]},
		.addresses = list_or_null(args, CTL_OPT_ADDRESS),
		.address_count = args->counts[CTL_OPT_ADDRESS],
		.expires_at = ctl_args_text(args, CTL_OPT_EXPIRES)};
	enum err err = check_role(ctl);

	if (!err)
		err = check_texts(ctl);
	if (!err)
		err = check_lists(ctl);
	if (!err)
		err = check_clients(ctl);
	if (!err)
		err = custody_caller_make_key(ctl->w, &ctl->c, &key);
	if (!err)
		show_new(ctl, &key);
	return err;
}

/* --- list and revoke ------------------------------------------------------------------------- */

static void show_json(struct jout *j, const struct store_api_key_entry *key)
{
	jout_object(j, NULL);
	jout_text(j, "id", key->id);
	jout_text(j, "name", key->name);
	jout_text(j, "role", key->role);
	jout_raw(j, "clients", key->clients_json);
	jout_raw(j, "providers", key->providers_json);
	jout_raw(j, "addresses", key->addresses_json);
	jout_text(j, "createdAt", key->created_at);
	jout_text(j, "expiresAt", key->expires_at);
	jout_text(j, "revokedAt", key->revoked_at);
	jout_text(j, "lastUsedOn", key->last_used_on);
	jout_end_object(j);
}

static enum err add_row(
	struct ctl *ctl, struct ctl_table *table, const struct store_api_key_entry *key)
{
	const char *clients = NULL, *providers = NULL, *addresses = NULL;
	enum err err = ctl_words(ctl, key->clients_json, &clients);

	if (!err)
		err = ctl_words(ctl, key->providers_json, &providers);
	if (!err)
		err = ctl_words(ctl, key->addresses_json, &addresses);
	if (err)
		return err;
	ctl_table_row(table, key->revoked_at ? CTL_BAD : CTL_PLAIN,
		(const char *const[]){key->id, key->name, key->role, clients ? clients : "(all)",
			providers ? providers : "(all)", addresses ? addresses : "(all)",
			key->expires_at, key->revoked_at, key->last_used_on});
	return ERR_OK;
}

enum err ctl_cmd_api_key_list(struct ctl *ctl)
{
	static const char *const heads[] = {"ID", "NAME", "ROLE", "CLIENTS", "PROVIDERS",
		"ADDRESSES", "EXPIRES", "REVOKED", "LAST USED", NULL};
	struct jout *j = &ctl->out.json;
	struct store_api_key_entry *keys = NULL;
	struct ctl_table table;
	size_t n = 0;
	enum err err = store_api_key_list(ctl->w, ctl->c.db, &keys, &n);

	if (err)
		return err;
	if (!ctl->out.is_json) {
		ctl_table_begin(&table, &ctl->out, heads, 7);
		for (size_t i = 0; !err && i < n; i++)
			err = add_row(ctl, &table, &keys[i]);
		ctl_table_end(&table);
		return err;
	}
	jout_object(j, NULL);
	jout_array(j, "keys");
	for (size_t i = 0; i < n; i++) {
		show_json(j, &keys[i]);
		ctl_out_drain(&ctl->out);
	}
	jout_end_array(j);
	jout_end_object(j);
	return ERR_OK;
}

enum err ctl_cmd_api_key_revoke(struct ctl *ctl)
{
	const char *id = ctl->args->positionals[0];
	struct jout *j = &ctl->out.json;
	enum err err = ERR_OK;

	if (text_starts(id, "vst_"))
		return work_fail(ctl->w, ERR_USAGE,
			"ID: the id alone is wanted, the 12 characters behind vst_, never the key");
	err = custody_caller_revoke_key(ctl->w, &ctl->c, id);
	if (err == ERR_NOT_FOUND)
		return work_fail(ctl->w, err, "ID: there is no API key %s that is not revoked", id);
	if (err)
		return err;
	if (ctl->out.is_json) {
		jout_object(j, NULL);
		jout_text(j, "id", id);
		jout_bool(j, "revoked", 1);
		jout_end_object(j);
	} else
		buf_printf(&ctl->out.text, "API key %s is revoked\n", id);
	return ERR_OK;
}
