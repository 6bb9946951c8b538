/* THE tables of commands and options. They decide what a command takes and needs; what it does is
 * in cmd_<family>.c. */
#include "ctl/command.h"

#include "base/text.h"
#include "ctl/cmd.h"
#include "vault/keyring.h"

#include <string.h>

const struct ctl_option_row ctl_options[CTL_OPT_COUNT] = {
	[CTL_OPT_ACTIVE] = {"--active", NULL,
		"nobody else renews these tokens: they are renewed here at once", 0},
	[CTL_OPT_ADDRESS] = {"--address", "CIDR", "a network the key may be used from", 0},
	[CTL_OPT_ALL_CLIENTS] = {"--all-clients", NULL, "every client, also later ones", 0},
	[CTL_OPT_ALL_NEEDED] = {"--all-needed", NULL, "every connection that needs it", 0},
	[CTL_OPT_CHECK] = {"--check", NULL, "ask the providers first", 0},
	[CTL_OPT_CLIENT] = {"--client", "CLIENT", "a client's id", 0},
	[CTL_OPT_CLIENT_ID] = {"--client-id", "ID", "the client id the provider gave the app", 0},
	[CTL_OPT_CLIENT_SECRET_FILE] = {"--client-secret-file", "FILE",
		"the file with the app's client secret; - is standard input", 1},
	[CTL_OPT_CREATE] = {"--create", NULL, "make clients and connections that are not there", 0},
	[CTL_OPT_CSV] = {"--csv", NULL, "CSV for a spreadsheet, instead of JSON lines", 0},
	[CTL_OPT_DATACENTER] = {"--datacenter", "NAME", "the data centre the app is registered at",
		0},
	[CTL_OPT_DRY_RUN] = {"--dry-run", NULL, "only try, and store nothing", 0},
	[CTL_OPT_EXPIRES] = {"--expires", "DATE", "YYYY-MM-DD (its beginning, UTC) or RFC 3339", 0},
	[CTL_OPT_FILE] = {"--file", "FILE", "JSON or CSV; - is standard input", 1},
	[CTL_OPT_FROM] = {"--from", "DATE", "YYYY-MM-DD (its beginning, UTC) or RFC 3339", 0},
	[CTL_OPT_HELP] = {"--help", NULL, "this", 0},
	[CTL_OPT_JSON] = {"--json", NULL, "one JSON document on standard output", 0},
	[CTL_OPT_NAME] = {"--name", "NAME", "a name for people to read", 0},
	[CTL_OPT_OUT] = {"--out", "FILE", "the file to make; FILE.manifest is made beside it",
		CTL_FILE_NEW},
	[CTL_OPT_PARAM] = {"--param", "NAME=VALUE", "a word of the provider's URLs", 0},
	[CTL_OPT_PROVIDER] = {"--provider", "PROVIDER", "a provider's name", 0},
	[CTL_OPT_PUBLIC_KEY] = {"--public-key", "FILE",
		"the public key to believe, instead of the installed audit.pub", 1},
	[CTL_OPT_REASON] = {"--reason", "TEXT", "why, for the audit trail", 0},
	[CTL_OPT_REDIRECT_URI] = {"--redirect-uri", "URI", "as registered with the provider", 0},
	[CTL_OPT_ROLE] = {"--role", "ROLE", "admin, operator, auditor or service", 0},
	[CTL_OPT_SECRET_ENDS] = {"--secret-ends", "DATE", "the day the client secret ends", 0},
	[CTL_OPT_TO] = {"--to", "DATE", "as --from; what is at that moment is not in it", 0},
	[CTL_OPT_WITNESS] = {"--witness", "FILE",
		"checkpoints that were kept elsewhere, to compare with", 1},
};

const struct ctl_command ctl_commands[] = {
	{.name = "alert test",
		.usage = "",
		.help = "send one mail now, and say what became of it",
		.needs = CTL_NEED_CONF | CTL_NEED_DB | CTL_NEED_PROVIDERS,
		.run = ctl_cmd_alert_test},
	{.name = "api-key create",
		.usage = "--role ROLE --name NAME [--client CLIENT]... | [--all-clients] "
			 "[--provider PROVIDER]... [--address CIDR]... [--expires DATE]",
		.help = "make an API key and show it, once",
		.takes = CTL_BIT(CTL_OPT_ROLE) | CTL_BIT(CTL_OPT_NAME) | CTL_BIT(CTL_OPT_CLIENT) |
			 CTL_BIT(CTL_OPT_ALL_CLIENTS) | CTL_BIT(CTL_OPT_PROVIDER) |
			 CTL_BIT(CTL_OPT_ADDRESS) | CTL_BIT(CTL_OPT_EXPIRES),
		.requires = CTL_BIT(CTL_OPT_ROLE) | CTL_BIT(CTL_OPT_NAME),
		.repeats = CTL_BIT(CTL_OPT_CLIENT) | CTL_BIT(CTL_OPT_PROVIDER) |
			   CTL_BIT(CTL_OPT_ADDRESS),
		.needs = CTL_NEED_CONF | CTL_NEED_DB | CTL_NEED_PROVIDERS,
		.run = ctl_cmd_api_key_create},
	{.name = "api-key list",
		.usage = "",
		.help = "show all API keys",
		.needs = CTL_NEED_CONF | CTL_NEED_DB,
		.run = ctl_cmd_api_key_list},
	{.name = "api-key revoke",
		.usage = "ID",
		.help = "end an API key, at once",
		.least = 1,
		.most = 1,
		.needs = CTL_NEED_CONF | CTL_NEED_DB,
		.run = ctl_cmd_api_key_revoke},
	{.name = "app list",
		.usage = "",
		.help = "show the apps used with the providers",
		.needs = CTL_NEED_CONF | CTL_NEED_DB,
		.run = ctl_cmd_app_list},
	{.name = "app set",
		.usage = "PROVIDER [--client CLIENT] --client-id ID --client-secret-file FILE "
			 "--redirect-uri URI [--datacenter NAME] [--param NAME=VALUE]... "
			 "[--secret-ends DATE]",
		.help = "set the app used with a provider, for all clients or for one",
		.takes = CTL_BIT(CTL_OPT_CLIENT) | CTL_BIT(CTL_OPT_CLIENT_ID) |
			 CTL_BIT(CTL_OPT_CLIENT_SECRET_FILE) | CTL_BIT(CTL_OPT_REDIRECT_URI) |
			 CTL_BIT(CTL_OPT_DATACENTER) | CTL_BIT(CTL_OPT_PARAM) |
			 CTL_BIT(CTL_OPT_SECRET_ENDS),
		.requires = CTL_BIT(CTL_OPT_CLIENT_ID) | CTL_BIT(CTL_OPT_CLIENT_SECRET_FILE) |
			    CTL_BIT(CTL_OPT_REDIRECT_URI),
		.repeats = CTL_BIT(CTL_OPT_PARAM),
		.least = 1,
		.most = 1,
		.needs = CTL_NEED_CONF | CTL_NEED_DB | CTL_NEED_PROVIDERS,
		.rings = VAULT_RING_BIT(VAULT_RING_APP),
		.run = ctl_cmd_app_set},
	{.name = "audit export",
		.usage = "[MONTH] [--from DATE] [--to DATE] --out FILE [--csv]",
		.help = "write a month's events, or a range's, with a signed manifest",
		.takes = CTL_BIT(CTL_OPT_FROM) | CTL_BIT(CTL_OPT_TO) | CTL_BIT(CTL_OPT_OUT) |
			 CTL_BIT(CTL_OPT_CSV),
		.requires = CTL_BIT(CTL_OPT_OUT),
		.most = 1,
		.needs = CTL_NEED_CONF | CTL_NEED_DB | CTL_NEED_SEALER,
		.run = ctl_cmd_audit_export},
	{.name = "audit prune",
		.usage = "MONTH",
		.help = "drop a month (YYYY-MM) that is sealed, exported and anchored",
		.least = 1,
		.most = 1,
		.needs = CTL_NEED_CONF | CTL_NEED_DB | CTL_NEED_SEALER,
		.run = ctl_cmd_audit_prune},
	{.name = "audit seal",
		.usage = "",
		.help = "give every new event its leaf, and sign what they make",
		.needs = CTL_NEED_CONF | CTL_NEED_DB | CTL_NEED_SEALER,
		.run = ctl_cmd_audit_seal},
	{.name = "audit verify",
		.usage = "[--public-key FILE] [--witness FILE]",
		.help = "prove the audit trail; exit 2 when it was tampered with",
		.takes = CTL_BIT(CTL_OPT_PUBLIC_KEY) | CTL_BIT(CTL_OPT_WITNESS),
		.needs = CTL_NEED_CONF | CTL_NEED_DB | CTL_NEED_SEALER,
		.run = ctl_cmd_audit_verify},
	{.name = "client add",
		.usage = "CLIENT [--name NAME]",
		.help = "add a client, or change its name",
		.takes = CTL_BIT(CTL_OPT_NAME),
		.least = 1,
		.most = 1,
		.needs = CTL_NEED_CONF | CTL_NEED_DB,
		.run = ctl_cmd_client_add},
	{.name = "client list",
		.usage = "",
		.help = "show all clients",
		.needs = CTL_NEED_CONF | CTL_NEED_DB,
		.run = ctl_cmd_client_list},
	{.name = "client remove",
		.usage = "CLIENT",
		.help = "remove a client that holds no token",
		.least = 1,
		.most = 1,
		.needs = CTL_NEED_CONF | CTL_NEED_DB,
		.run = ctl_cmd_client_remove},
	{.name = "config",
		.usage = "",
		.help = "show the effective settings and where each was set",
		.needs = CTL_NEED_CONF,
		.run = ctl_cmd_config},
	{.name = "connect",
		.usage = "CLIENT PROVIDER",
		.help = "connect a client to a provider",
		.least = 2,
		.most = 2,
		.needs = CTL_NEED_CONF | CTL_NEED_DB | CTL_NEED_PROVIDERS,
		.run = ctl_cmd_connect},
	{.name = "connection activate",
		.usage = "CLIENT PROVIDER",
		.help = "take over a passive token: from now on it is renewed here",
		.least = 2,
		.most = 2,
		.needs = CTL_NEED_CONF | CTL_NEED_PROVIDERS | CTL_NEED_WORKER,
		.run = ctl_cmd_activate},
	{.name = "doctor", .usage = "", .help = "check this installation", .run = ctl_cmd_doctor},
	{.name = "health",
		.usage = "[--check]",
		.help = "show the health of all connections, and what ends before long; exit 2 "
			"when one needs a person",
		.takes = CTL_BIT(CTL_OPT_CHECK),
		.needs = CTL_NEED_CONF | CTL_NEED_DB | CTL_NEED_PROVIDERS,
		.run = ctl_cmd_health},
	{.name = "help",
		.usage = "[COMMAND]",
		.help = "show all commands, or one",
		.most = 2,
		.run = ctl_cmd_help},
	{.name = "incident ack",
		.usage = "ID",
		.help = "take an incident on; reminders then come once a day",
		.least = 1,
		.most = 1,
		.needs = CTL_NEED_CONF | CTL_NEED_DB,
		.run = ctl_cmd_incident_ack},
	{.name = "incident list",
		.usage = "",
		.help = "show the newest incidents",
		.needs = CTL_NEED_CONF | CTL_NEED_DB,
		.run = ctl_cmd_incident_list},
	{.name = "incident show",
		.usage = "ID",
		.help = "show one incident with its timeline",
		.least = 1,
		.most = 1,
		.needs = CTL_NEED_CONF | CTL_NEED_DB,
		.run = ctl_cmd_incident_show},
	{.name = "key add",
		.usage = "RING",
		.help = "add a key to a ring: token, app, copy, spool, audit or session",
		.least = 1,
		.most = 1,
		.needs = CTL_NEED_CONF | CTL_NEED_DB_TRY | CTL_NEED_KEY_DIR,
		.run = ctl_cmd_key_add},
	{.name = "key list",
		.usage = "",
		.help = "show the keys of all rings, never their bytes",
		.needs = CTL_NEED_CONF | CTL_NEED_OWNER,
		.run = ctl_cmd_key_list},
	{.name = "migrate",
		.usage = "",
		.help = "bring the database schema up to this program's version",
		.needs = CTL_NEED_CONF | CTL_NEED_DB_BARE,
		.run = ctl_cmd_migrate},
	{.name = "provider check",
		.usage = "FILE",
		.help = "check a provider definition",
		.least = 1,
		.most = 1,
		.needs = CTL_NEED_CONF,
		.run = ctl_cmd_provider_check},
	{.name = "provider list",
		.usage = "",
		.help = "show the provider definitions",
		.needs = CTL_NEED_CONF | CTL_NEED_PROVIDERS,
		.run = ctl_cmd_provider_list},
	{.name = "reauthorize",
		.usage = "[CLIENT PROVIDER] | [--all-needed]",
		.help = "open an incident and show the link that mends it, good for 10 minutes",
		.takes = CTL_BIT(CTL_OPT_ALL_NEEDED),
		.most = 2,
		.needs = CTL_NEED_CONF | CTL_NEED_PROVIDERS | CTL_NEED_WORKER,
		.rings = VAULT_RING_BIT(VAULT_RING_APP) | VAULT_RING_BIT(VAULT_RING_SESSION),
		.run = ctl_cmd_reauthorize},
	{.name = "token import",
		.usage = "--file FILE [--active] [--create] [--dry-run]",
		.help = "import tokens that were kept elsewhere, after a trial of each",
		.takes = CTL_BIT(CTL_OPT_FILE) | CTL_BIT(CTL_OPT_ACTIVE) | CTL_BIT(CTL_OPT_CREATE) |
			 CTL_BIT(CTL_OPT_DRY_RUN),
		.requires = CTL_BIT(CTL_OPT_FILE),
		.needs = CTL_NEED_CONF | CTL_NEED_PROVIDERS | CTL_NEED_WORKER,
		.rings = VAULT_RING_BIT(VAULT_RING_TOKEN) | VAULT_RING_BIT(VAULT_RING_APP) |
			 VAULT_RING_BIT(VAULT_RING_COPY) | VAULT_RING_BIT(VAULT_RING_SPOOL),
		.run = ctl_cmd_import},
	{.name = "token show",
		.usage = "CLIENT PROVIDER",
		.help = "show all that can be told of a token, never the token",
		.least = 2,
		.most = 2,
		.needs = CTL_NEED_CONF | CTL_NEED_DB,
		.run = ctl_cmd_token_show},
	{.name = "undo",
		.usage = "CLIENT PROVIDER --reason TEXT",
		.help = "go back to the grant before the last override or re-authorization",
		.takes = CTL_BIT(CTL_OPT_REASON),
		.requires = CTL_BIT(CTL_OPT_REASON),
		.least = 2,
		.most = 2,
		.needs = CTL_NEED_CONF | CTL_NEED_PROVIDERS | CTL_NEED_WORKER,
		.rings = VAULT_RING_BIT(VAULT_RING_TOKEN) | VAULT_RING_BIT(VAULT_RING_APP) |
			 VAULT_RING_BIT(VAULT_RING_COPY) | VAULT_RING_BIT(VAULT_RING_SPOOL),
		.run = ctl_cmd_undo},
	{.name = "version",
		.usage = "",
		.help = "show the version of this program",
		.run = ctl_cmd_version},
	{0},
};

/* --- the self-check -------------------------------------------------------------------------- */

static int is_word_end(char c)
{
	return c == '\0' || c == ' ' || c == ']';
}

static int usage_names(const char *usage, const char *option)
{
	size_t n = strlen(option);

	for (const char *at = usage; (at = strstr(at, option)); at += n)
		if (is_word_end(at[n]))
			return 1;
	return 0;
}

static int usage_fits(const struct ctl_command *row)
{
	for (unsigned i = 0; i < CTL_OPT_COUNT; i++) {
		int taken = (row->takes & CTL_BIT(i)) != 0;

		if (usage_names(row->usage, ctl_options[i].name) != taken)
			return 0;
	}
	return 1;
}

/* The parser tells people the name of a missing argument from there. */
static int usage_begins_with(const char *usage, size_t positionals)
{
	for (; positionals; positionals--) {
		size_t n = strspn(usage, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

		if (!n || !is_word_end(usage[n]))
			return 0;
		usage += n + (usage[n] == ' ');
	}
	return 1;
}

static const char *row_fault(const struct ctl_command *row)
{
	const unsigned implied = CTL_BIT(CTL_OPT_JSON) | CTL_BIT(CTL_OPT_HELP);
	const unsigned databases =
		CTL_NEED_DB | CTL_NEED_DB_BARE | CTL_NEED_DB_TRY | CTL_NEED_WORKER;

	if (!row->usage || !row->help || !row->run)
		return "a command lacks its usage, help or function";
	if (row->takes & implied)
		return "--json and --help go without saying";
	if ((row->requires | row->repeats) & ~row->takes)
		return "a command requires or repeats an option that it does not take";
	if (!usage_fits(row))
		return "a usage line and the options taken differ";
	if (!usage_begins_with(row->usage, row->least))
		return "a usage line does not begin with the arguments that are needed";
	if (row->least > row->most || row->most > CTL_POSITIONALS_MAX)
		return "a command's number of arguments makes no sense";
	if ((row->needs || row->rings) && !(row->needs & CTL_NEED_CONF))
		return "a command needs something without the configuration";
	if ((row->needs & databases) & ((row->needs & databases) - 1))
		return "a command needs the database in two ways";
	return NULL;
}

const char *ctl_command_fault(const struct ctl_command *table)
{
	const char *fault = NULL;

	for (unsigned i = 0; i < CTL_OPT_COUNT; i++)
		if (!ctl_options[i].name || !text_starts(ctl_options[i].name, "--") ||
			!ctl_options[i].help)
			return "an option lacks its name or help";
	for (const struct ctl_command *row = table; row->name && !fault; row++) {
		fault = row_fault(row);
		if (row[1].name && strcmp(row->name, row[1].name) >= 0)
			fault = "the commands are not in order";
	}
	return fault;
}

const struct ctl_command *ctl_command_find(const struct ctl_command *table, const char *name)
{
	for (; table->name; table++)
		if (strcmp(table->name, name) == 0)
			return table;
	return NULL;
}
