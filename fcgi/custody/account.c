/*
 * Identity pinning. It decides what an account is called, so that two answers can be compared, and
 * who gets past a pin; what is done with one who does not is its caller's.
 */
#include "custody/account.h"

#include "base/log.h"
#include "base/text.h"
#include "oauth/answer.h"
#include "oauth/probe.h"
#include "vault/fingerprint.h"

#include <string.h>

#define SPARE_MS 8000 /* for what comes after the call */
#define RETRY_AFTER_S 30

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
