/* token: everything that can be told of one connection's token, and never the token. */
#include "base/text.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "store/token.h"

#include <stddef.h>
#include <string.h>

struct field {
	const char *label, *key;
	size_t at; /* of a const char * in struct store_shown */
	int is_number;
};

#define AT(member) offsetof(struct store_shown, member)

static const struct field fields[] = {
	{"STATUS", "status", AT(status), 0},
	{"CAUSE", "cause", AT(cause), 0},
	{"ACTION", "action", AT(action), 0},
	{"OWNER", "owner", AT(owner), 0},
	{"GENERATION", "generation", AT(generation), 1},
	{"LAST GENERATION", "lastGeneration", AT(last_generation), 1},
	{"ACCESS FINGERPRINT", "accessFingerprint", AT(access_fingerprint), 0},
	{"REFRESH FINGERPRINT", "refreshFingerprint", AT(refresh_fingerprint), 0},
	{"ACCOUNT FINGERPRINT", "accountFingerprint", AT(account_fingerprint), 0},
	{"TOKEN TYPE", "tokenType", AT(token_type), 0},
	{"ISSUED", "issuedAt", AT(issued_at), 0},
	{"EXPIRES", "expiresAt", AT(expires_at), 0},
	{"GRANTED", "grantedAt", AT(granted_at), 0},
	{"GRANT ENDS", "grantEndsAt", AT(grant_ends_at), 0},
	{"ENDS UNUSED", "idleEndsAt", AT(idle_ends_at), 0},
	{"LAST REFRESHED", "lastRefreshedAt", AT(last_refreshed_at), 0},
	{"LAST PROVED", "lastProvedAt", AT(last_proved_at), 0},
	{"LAST TRIED", "lastTriedAt", AT(tried_at), 0},
	{"NEXT REFRESH", "nextRefreshAt", AT(next_refresh_at), 0},
	{"DEFERRED BY", "deferredBy", AT(deferred_by), 0},
	{"FAILURES", "failures", AT(failures), 1},
	{"DATA CENTRE", "datacenter", AT(datacenter), 0},
};

/* What is an object of its own in JSON. */
static const struct field last_error[] = {
	{"LAST ERROR", "code", AT(last_error_code), 0},
	{"LAST ERROR AT", "at", AT(last_error_at), 0},
};
static const struct field stores[] = {
	{"IN DATABASE", "database", AT(generation), 1},
	{"IN COPY", "file", AT(copy_generation), 1},
	{"IN ENVIRONMENT", "environment", AT(environment_generation), 1},
};
static const struct field lease[] = {
	{"LEASED BY", "owner", AT(lease_owner), 0},
	{"LEASED UNTIL", "until", AT(lease_until), 0},
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const char *value_of(const struct store_shown *shown, const struct field *field)
{
	const char *value;

	memcpy(&value, (const char *)shown + field->at, sizeof(value));
	return value && *value ? value : NULL;
}

/* --- JSON ------------------------------------------------------------------------------------ */

static void put_fields(
	struct jout *j, const struct store_shown *shown, const struct field *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(list[i].is_number ? jout_raw : jout_text)(
			j, list[i].key, value_of(shown, &list[i]));
}

/* key: an object, or null when its first field is not there. */
static void put_object(struct jout *j, const char *key, const struct store_shown *shown,
	const struct field *list, size_t n)
{
	if (!value_of(shown, list)) {
		jout_null(j, key);
		return;
	}
	jout_object(j, key);
	put_fields(j, shown, list, n);
	jout_end_object(j);
}

static void show_json(
	struct jout *j, const char *client, const char *provider, const struct store_shown *shown)
{
	jout_object(j, NULL);
	jout_text(j, "clientId", client);
	jout_text(j, "provider", provider);
	put_fields(j, shown, fields, COUNT(fields));
	jout_bool(j, "passive", shown->passive);
	put_object(j, "lastError", shown, last_error, COUNT(last_error));
	jout_object(j, "stores");
	put_fields(j, shown, stores, COUNT(stores));
	jout_end_object(j);
	put_object(j, "lease", shown, lease, COUNT(lease));
	jout_end_object(j);
}

/* --- text ------------------------------------------------------------------------------------ */

static void put_rows(struct ctl_table *table, const struct store_shown *shown,
	const struct field *list, size_t n, enum ctl_tone first)
{
	for (size_t i = 0; i < n; i++)
		ctl_table_row(table, i ? CTL_PLAIN : first,
			(const char *const[]){list[i].label, value_of(shown, &list[i])});
}

static void show_table(struct ctl_out *out, const char *client, const char *provider,
	const struct store_shown *shown)
{
	const char *const heads[] = {client, provider, NULL};
	enum ctl_tone tone =
		text_equal(shown->status, "healthy") ? CTL_GOOD
		: text_equal(shown->status, "invalid") || text_equal(shown->status, "quarantined")
			? CTL_BAD
			: CTL_DOUBTFUL;
	struct ctl_table table;

	ctl_table_begin(&table, out, heads, 1);
	put_rows(&table, shown, fields, COUNT(fields), tone);
	ctl_table_row(
		&table, CTL_PLAIN, (const char *const[]){"PASSIVE", shown->passive ? "yes" : "no"});
	put_rows(&table, shown, last_error, COUNT(last_error), CTL_PLAIN);
	put_rows(&table, shown, stores, COUNT(stores), CTL_PLAIN);
	put_rows(&table, shown, lease, COUNT(lease), CTL_PLAIN);
	ctl_table_end(&table);
}

enum err ctl_cmd_token_show(struct ctl *ctl)
{
	const char *client = ctl->args->positionals[0], *provider = ctl->args->positionals[1];
	struct store_shown shown;
	enum err err = ctl_check_client(ctl, client);

	if (!err && !text_is_name(provider))
		err = work_fail(
			ctl->w, ERR_USAGE, "PROVIDER: %s is not a provider's name", provider);
	if (!err)
		err = store_token_show(ctl->w, ctl->c.db, client, provider, &shown);
	if (err == ERR_CONNECTION_UNKNOWN)
		return work_fail(ctl->w, err,
			"client %s is not connected to %s; vestalctl connect %s %s connects it",
			client, provider, client, provider);
	if (err)
		return err;
	if (ctl->out.is_json)
		show_json(&ctl->out.json, client, provider, &shown);
	else
		show_table(&ctl->out, client, provider, &shown);
	return ERR_OK;
}
