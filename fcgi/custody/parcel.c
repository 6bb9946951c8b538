/* The text of a token on its way. It decides what has to be in it; that it is whole is all it can
 * say of one that it reads. */
#include "custody/parcel.h"

#include "base/clock.h"
#include "base/jin.h"
#include "base/jout.h"

static void put_secret(struct jout *j, const char *name, const struct secret *secret)
{
	jout_text(j, name, secret ? secret_reveal(secret) : NULL);
}

static void put_token(struct jout *j, const struct oauth_token *token)
{
	put_secret(j, "access", token->access);
	put_secret(j, "refresh", token->refresh);
	jout_text(j, "tokenType", token->token_type);
	jout_int(j, "lifetime", token->expires_in_s);
	jout_int(j, "refreshLifetime", token->refresh_expires_in_s);
	jout_text(j, "scope", token->scope);
	jout_text(j, "apiDomain", token->api_domain);
}

enum err custody_parcel_write(
	struct work *w, const struct custody_acceptance *asked, struct secret **text)
{
	struct buf buf;
	struct jout j;

	buf_init(&buf, w, CUSTODY_PARCEL_MAX_BYTES);
	jout_init(&j, &buf);
	jout_object(&j, NULL);
	jout_int(&j, "connection", asked->connection_id);
	jout_int(&j, "app", asked->app_id);
	jout_text(&j, "client", asked->client);
	jout_text(&j, "provider", asked->provider->name);
	jout_text(&j, "datacenter", asked->datacenter);
	jout_text(&j, "kept", asked->kept_json);
	jout_text(&j, "cause", asked->cause);
	jout_text(&j, "action", asked->action);
	jout_text(&j, "reason", asked->reason);
	jout_text(&j, "detail", asked->detail_json);
	jout_text(&j, "actor", w->origin.actor);
	jout_int(&j, "askedAt", clock_wall_ms() - (clock_monotonic_ms() - asked->asked_ms));
	jout_bool(&j, "isAll", asked->is_all);
	jout_bool(&j, "isPassive", asked->is_passive);
	jout_bool(&j, "isMint", asked->is_mint);
	jout_int(&j, "takenBack", asked->taken_back);
	jout_text(&j, "acceptAccount", asked->accept_account);
	put_secret(&j, "account", asked->account);
	put_secret(&j, "spent", asked->spent);
	put_token(&j, asked->token);
	jout_end_object(&j);
	*text = buf.overflow ? NULL : secret_new(w, buf.data, buf.len);
	if (buf.overflow)
		return work_cause(w, ERR_TOO_LARGE, "the token is too large to be kept");
	buf_clear(&buf);
	return *text ? ERR_OK : work_cause(w, ERR_NO_MEMORY, "the secure heap is full");
}

static const char *text_of(struct work *w, const json_t *root, const char *name)
{
	const char *value = json_string_value(json_object_get(root, name));

	return value ? work_strdup(w, value) : NULL;
}

static int64_t number_of(const json_t *root, const char *name)
{
	return json_integer_value(json_object_get(root, name));
}

/* *is_lost: it is there, and the secure heap has no place for it. */
static struct secret *secret_of(struct work *w, const json_t *root, const char *name, int *is_lost)
{
	const json_t *value = json_object_get(root, name);
	struct secret *secret = json_is_string(value) ? secret_new(w, json_string_value(value),
								json_string_length(value))
						      : NULL;

	*is_lost |= json_is_string(value) && !secret;
	return secret;
}

static json_t *parse(struct work *w, const struct secret *text)
{
	return jin_parse(w, secret_reveal(text), secret_len(text));
}

int64_t custody_parcel_age_s(struct work *w, const struct secret *text)
{
	const int64_t age_ms = clock_wall_ms() - number_of(parse(w, text), "askedAt");

	return age_ms > 0 ? age_ms / 1000 : 0;
}

enum err custody_parcel_read(
	struct work *w, const struct secret *text, int64_t age_s, struct custody_parcel *parcel)
{
	const json_t *root = parse(w, text);
	struct custody_acceptance *it = &parcel->acceptance;
	int is_lost = 0;

	parcel->token = (struct oauth_token){.access = secret_of(w, root, "access", &is_lost),
		.refresh = secret_of(w, root, "refresh", &is_lost),
		.token_type = text_of(w, root, "tokenType"),
		.expires_in_s = number_of(root, "lifetime"),
		.refresh_expires_in_s = number_of(root, "refreshLifetime"),
		.scope = text_of(w, root, "scope"),
		.api_domain = text_of(w, root, "apiDomain")};
	*it = (struct custody_acceptance){.connection_id = number_of(root, "connection"),
		.app_id = number_of(root, "app"),
		.client = text_of(w, root, "client"),
		.datacenter = text_of(w, root, "datacenter"),
		.kept_json = text_of(w, root, "kept"),
		.token = &parcel->token,
		.cause = text_of(w, root, "cause"),
		.action = text_of(w, root, "action"),
		.reason = text_of(w, root, "reason"),
		.detail_json = text_of(w, root, "detail"),
		.asked_ms = clock_monotonic_ms() - age_s * 1000,
		.is_all = json_is_true(json_object_get(root, "isAll")),
		.is_passive = json_is_true(json_object_get(root, "isPassive")),
		.is_mint = json_is_true(json_object_get(root, "isMint")),
		.taken_back = number_of(root, "takenBack"),
		.accept_account = text_of(w, root, "acceptAccount"),
		.account = secret_of(w, root, "account", &is_lost),
		.spent = secret_of(w, root, "spent", &is_lost)};
	parcel->provider = text_of(w, root, "provider");
	parcel->actor = text_of(w, root, "actor");
	if (is_lost)
		return work_cause(w, ERR_NO_MEMORY, "the secure heap is full");
	return parcel->token.access && parcel->token.token_type && it->client && it->datacenter &&
			       it->kept_json && it->cause && it->action && parcel->provider
		       ? ERR_OK
		       : work_cause(w, ERR_SEALED, "not a token on its way");
}
