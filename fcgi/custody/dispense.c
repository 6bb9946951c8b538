/* The token read. It decides what is better than nothing: a token that still lives, marked, before
 * an error. */
#include "custody/dispense.h"

#include "base/text.h"
#include "custody/accept.h"
#include "store/audit.h"
#include "store/client.h"
#include "store/report.h"
#include "vault/seal.h"

#define RETRY_AFTER_S 30

static enum err refuse(
	struct work *w, const struct custody *c, const struct custody_dispense *asked, enum err err)
{
	enum err noted = store_audit_add(w, c->db,
		&(struct store_event){.action = "token.read",
			.outcome = "denied",
			.client = asked->client,
			.provider = asked->provider->name,
			.connection_id = asked->served.connection_id,
			.reason = err_slug(err)});

	return noted ? noted : err;
}

/* Nothing was served: is it a person's turn, or only a matter of time? */
static enum err explain(
	struct work *w, const struct custody *c, const struct custody_dispense *asked)
{
	const char *status = NULL, *cause = NULL;
	enum err err = store_report_one(w, c->db, asked->served.connection_id, &status, &cause);

	if (err)
		return err;
	if (text_equal(status, "missing") || text_equal(status, "invalid")) {
		work_fail(w, ERR_REAUTHORIZATION_REQUIRED,
			"The connection is %s (%s): an administrator has to authorize it again.",
			status, cause);
		return refuse(w, c, asked, ERR_REAUTHORIZATION_REQUIRED);
	}
	w->retry_after_s = RETRY_AFTER_S;
	work_fail(w, ERR_TOKEN_UNAVAILABLE,
		"No token lives long enough at the moment; the connection is %s.", status);
	return refuse(w, c, asked, ERR_TOKEN_UNAVAILABLE);
}

static enum err unseal(struct work *w, const struct custody *c, struct custody_dispense *asked)
{
	const struct vault_binding binding = custody_token_binding(
		asked->client, asked->provider->name, "access", asked->served.generation);
	const struct vault_blob blob = {
		(unsigned char *)(uintptr_t)asked->served.access.bytes, asked->served.access.n};

	if (!blob.bytes)
		return ERR_OK;
	return vault_seal_open(w, c->keyring, VAULT_RING_TOKEN, &binding, &blob, &asked->access);
}

enum err custody_dispense(struct work *w, const struct custody *c, struct custody_dispense *asked)
{
	const struct store_read read = {
		.client = asked->client,
		.provider = asked->provider->name,
		.host = store_audit_host(),
		.known_generation = asked->known_generation,
		.min_ttl_s = asked->min_ttl_s < 0 ? CUSTODY_MIN_TTL_S : asked->min_ttl_s,
		.strict = asked->min_ttl_s >= 0,
	};
	enum err err;

	if (asked->min_ttl_s > asked->provider->access_ttl_s)
		return work_fail_field(w, "min_ttl",
			"is more than the %lld seconds this provider grants",
			(long long)asked->provider->access_ttl_s);
	err = store_token_read(w, c->db, &read, &asked->served);
	if (err == ERR_CONNECTION_UNKNOWN) {
		enum err client = store_client_get(w, c->db, asked->client, NULL);

		return client ? client : err;
	}
	if (!err && !asked->served.served)
		return explain(w, c, asked);
	if (!err)
		err = unseal(w, c, asked);
	asked->api_domain =
		asked->served.api_domain
			? asked->served.api_domain
			: oauth_datacenter_host(oauth_provider_datacenter(
							asked->provider, asked->served.datacenter),
				  "api");
	return err;
}
