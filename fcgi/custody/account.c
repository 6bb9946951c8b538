/*
 * Identity pinning. It decides what an account is called, so that two answers can be compared, and
 * who gets past a pin; what is done with one who does not is its caller's.
 */
#include "custody/account.h"

#include "base/jout.h"
#include "base/log.h"
#include "base/text.h"
#include "oauth/answer.h"
#include "oauth/probe.h"
#include "store/audit.h"
#include "store/connection.h"
#include "vault/fingerprint.h"

#include <string.h>

#define SPARE_MS 8000 /* for what comes after the call */
#define RETRY_AFTER_S 30
#define DETAIL_MAX_BYTES 256

const struct secret *custody_account_read(
	struct work *w, const struct oauth_target *target, const struct oauth_http_answer *answer)
{
	const char *name =
		oauth_probe_identity(w, target->provider, answer, oauth_answer_parse(w, answer));
	const char *text;

	if (!name)
		return NULL;
	/* The same name in another data centre is another account. */
	text = work_printf(w, "account\n%s\n%s\n%s", target->provider->name,
		target->datacenter ? target->datacenter->name : "", name);
	return secret_new(w, text, strlen(text));
}

enum err custody_account_ask(struct work *w, const struct custody *c, const struct custody_app *app,
	const struct secret *access, const struct secret **account)
{
	const struct oauth_provider *provider = app->target.provider;
	const int64_t left_ms = work_left_ms(w) - SPARE_MS;
	struct oauth_http_request request;
	struct oauth_http_answer answer;
	enum err err;

	*account = NULL;
	if (!provider->identity.url)
		return ERR_OK;
	err = oauth_probe_identity_request(w, &app->target, access, &request);
	if (err)
		return err;
	request.total_ms = conf_number(c->conf, CONF_provider_timeout_s) * 1000;
	if (request.total_ms > left_ms)
		request.total_ms = left_ms > 1 ? left_ms : 1;
	request.allow_loopback = provider->allow_loopback_http;
	err = oauth_http_call(w, c->http, &request, &answer);
	if (err)
		return err;
	*account = custody_account_read(w, &app->target, &answer);
	log_event(*account ? LOG_INFO : LOG_WARN,
		*account ? "account.identified" : "account.unknown",
		LOG_TEXT("provider", provider->name), LOG_INT("status", answer.status),
		LOG_TEXT("transport", answer.cause), LOG_TEXT("request", w->origin.request_id));
	return ERR_OK;
}

enum custody_account_is custody_account_compare(
	const struct custody *c, const char *pinned, const struct secret *account)
{
	if (!account)
		return CUSTODY_ACCOUNT_UNKNOWN;
	if (!pinned)
		return CUSTODY_ACCOUNT_FIRST;
	if (!vault_fingerprint_is_known(c->keyring, pinned))
		return CUSTODY_ACCOUNT_UNREADABLE;
	return vault_fingerprint_matches(c->keyring, pinned, account) ? CUSTODY_ACCOUNT_SAME
								      : CUSTODY_ACCOUNT_OTHER;
}

static enum err changed(
	struct work *w, const struct custody *c, const char *pinned, const struct secret *account)
{
	const char *found = vault_fingerprint(w, c->keyring, account);

	if (!found)
		return ERR_KEY_UNKNOWN;
	work_tell(w, "pinned", pinned);
	work_tell(w, "found", found);
	return work_fail(w, ERR_ACCOUNT_CHANGED,
		"The token belongs to another account (%s) than the one this connection is bound "
		"to (%s). Nothing was changed: the token that was there stays in use.",
		found, pinned);
}

enum err custody_account_check(struct work *w, const struct custody *c,
	const struct oauth_provider *provider, const char *pinned, const struct secret *account,
	const char *accepted)
{
	switch (custody_account_compare(c, pinned, account)) {
	case CUSTODY_ACCOUNT_FIRST:
	case CUSTODY_ACCOUNT_SAME:
		return ERR_OK;
	case CUSTODY_ACCOUNT_UNKNOWN:
		if (!pinned || !provider->identity.url)
			return ERR_OK;
		w->retry_after_s = RETRY_AFTER_S;
		return work_fail(w, ERR_PROVIDER_UNAVAILABLE,
			"The provider did not say whose account the token belongs to, and this "
			"connection is bound to one. Nothing was changed; try again later.");
	case CUSTODY_ACCOUNT_OTHER:
	case CUSTODY_ACCOUNT_UNREADABLE:
		break;
	}
	if (accepted && vault_fingerprint_matches(c->keyring, accepted, account))
		return ERR_OK;
	return changed(w, c, pinned, account);
}

int custody_account_is_fingerprint(const char *text)
{
	return strlen(text) == VAULT_FINGERPRINT_DIGITS &&
	       strspn(text, "0123456789abcdef") == VAULT_FINGERPRINT_DIGITS;
}

const char *custody_account_detail(struct work *w, const char *pinned, const char *found)
{
	struct buf buf;
	struct jout j;

	buf_init(&buf, w, DETAIL_MAX_BYTES);
	jout_init(&j, &buf);
	jout_object(&j, NULL);
	jout_text(&j, "pinned", pinned);
	jout_text(&j, "found", found);
	jout_end_object(&j);
	return buf.data;
}

static enum err pin(struct work *w, struct store_db *db, const struct custody_account_seen *seen,
	const char *pinned, const char *found)
{
	enum err err = store_connection_pin(w, db, seen->connection_id, found);

	if (err || pinned)
		return err;
	return store_audit_add(w, db,
		&(struct store_event){.action = "connection.account_pinned",
			.client = seen->client,
			.provider = seen->provider,
			.connection_id = seen->connection_id,
			.generation = seen->generation,
			.detail_json = custody_account_detail(w, NULL, found)});
}

enum err custody_account_note(struct work *w, struct store_db *db, const struct custody *c,
	const struct custody_account_seen *seen, enum custody_account_is *is)
{
	struct store_connection connection;
	const char *found;
	enum err err = store_connection_lock(w, db, seen->connection_id, &connection);

	*is = CUSTODY_ACCOUNT_UNKNOWN;
	if (err || !seen->account || connection.last_generation != seen->generation)
		return err;
	found = vault_fingerprint(w, c->keyring, seen->account);
	if (!found)
		return ERR_KEY_UNKNOWN;
	*is = custody_account_compare(c, connection.account, seen->account);
	/* The same under an older key is pinned under the one that counts now. */
	if (*is == CUSTODY_ACCOUNT_FIRST ||
		(*is == CUSTODY_ACCOUNT_SAME && !text_equal(found, connection.account)))
		err = pin(w, db, seen, connection.account, found);
	return err;
}
