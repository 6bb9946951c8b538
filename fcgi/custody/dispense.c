/* The token read. It decides what is better than nothing: a token that still lives, marked, before
 * an error; and that nothing that goes wrong with a renewal withholds it. */
#include "custody/dispense.h"

#include "base/log.h"
#include "base/text.h"
#include "custody/demand.h"
#include "custody/refusal.h"
#include "custody/token.h"
#include "custody/trouble.h"
#include "store/audit.h"
#include "store/client.h"
#include "store/report.h"

#define RETRY_AFTER_S 30 /* for what another reader may mend by then */

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
	struct work *w, const struct custody *c, const struct custody_dispense *asked, int was_busy)
{
	struct custody_refusal refusal = {
		.connection_id = asked->served.connection_id, .was_busy = was_busy};
	enum err err = custody_refusal_read(w, c, &refusal);

	if (err)
		return err;
	if (refusal.needs_person)
		return refuse(w, c, asked, custody_refusal_of_person(w, &refusal));
	w->retry_after_s = refusal.retry_after_s;
	work_fail(w, ERR_TOKEN_UNAVAILABLE,
		"No token lives long enough at the moment; the connection is %s.", refusal.status);
	return refuse(w, c, asked, ERR_TOKEN_UNAVAILABLE);
}

static enum err read_token(struct work *w, const struct custody *c, struct custody_dispense *asked,
	int may_renew_first);

struct unreadable {
	const struct custody_dispense *asked;
	enum err why;
};

static enum err record_unreadable(struct work *w, struct store_db *db, void *context)
{
	const struct unreadable *u = context;
	enum err err = u->why == ERR_SEALED
			       ? custody_trouble_unreadable(w, db, u->asked->served.connection_id,
					 u->asked->client, u->asked->provider->name,
					 u->asked->served.generation)
			       : ERR_OK;

	return err ? err
		   : store_audit_add(w, db,
			     &(struct store_event){.action = "token.read",
				     .outcome = "error",
				     .client = u->asked->client,
				     .provider = u->asked->provider->name,
				     .connection_id = u->asked->served.connection_id,
				     .generation = u->asked->served.generation,
				     .reason = err_slug(u->why)});
}

/* The read was noted when the row was found; that nothing came of it has to be noted too. */
static enum err unseal(struct work *w, const struct custody *c, struct custody_dispense *asked)
{
	const struct custody_token_place place = {
		asked->client, asked->provider->name, "access", asked->served.generation};
	struct unreadable u = {
		asked, custody_token_open(w, c, &place, &asked->served.access, &asked->access)};

	if (u.why && store_db_transaction(w, c->db, record_unreadable, &u))
		log_event(LOG_ERROR, "audit.not_written", LOG_TEXT("action", "token.read"),
			LOG_TEXT("request", w->origin.request_id));
	if (u.why)
		w->retry_after_s = RETRY_AFTER_S;
	return u.why;
}

/* Nothing is there: neither connection nor client, or the caller is not who he was. */
static enum err read_nothing(struct work *w, const struct custody *c,
	struct custody_dispense *asked, int may_renew_first)
{
	enum err err;

	if (asked->caller->is_assumed) {
		err = custody_caller_confirm(w, c, asked->caller);
		return err ? err : read_token(w, c, asked, may_renew_first);
	}
	err = store_client_get(w, c->db, asked->client, NULL);
	return err ? err : ERR_CONNECTION_UNKNOWN;
}

static enum err read_token(struct work *w, const struct custody *c, struct custody_dispense *asked,
	int may_renew_first)
{
	const struct custody_caller *caller = asked->caller;
	const struct store_read read = {
		.key_id = caller->is_assumed ? caller->key_id : NULL,
		.key_hash = caller->key_hash,
		.client = asked->client,
		.provider = asked->provider->name,
		.host = store_audit_host(),
		.known = asked->known,
		.min_ttl_s = asked->min_ttl_s < 0 ? CUSTODY_MIN_TTL_S : asked->min_ttl_s,
		.strict = asked->min_ttl_s >= 0,
		.may_renew_first = may_renew_first,
	};
	enum err err = store_token_read(w, c->db, &read, &asked->served);

	if (err == ERR_CONNECTION_UNKNOWN)
		return read_nothing(w, c, asked, may_renew_first);
	if (!err)
		asked->caller->is_assumed = 0;
	return err;
}

/* A renewal that could not even be tried is an operator's trouble, not the reader's. */
static enum err renew_and_read(
	struct work *w, const struct custody *c, struct custody_dispense *asked, int *was_busy)
{
	struct custody_demand demand = {.connection_id = asked->served.connection_id,
		.generation = asked->served.generation,
		.client = asked->client,
		.provider = asked->provider->name,
		.why = CUSTODY_WHY_READ,
		.places = asked->places,
		.is_needed = asked->min_ttl_s >= 0 || asked->served.seconds_left == 0};
	enum err err = custody_demand(w, c, &demand);

	if (err)
		log_event(LOG_ERROR, "renewal.not_tried", LOG_TEXT("request", w->origin.request_id),
			LOG_TEXT("error", err_slug(err)), LOG_TEXT("why", w->cause));
	*was_busy = !err && demand.renewal.outcome == CUSTODY_BUSY;
	work_forgive(w);
	err = store_db_ready(w, c->db);
	return err ? err : read_token(w, c, asked, 0);
}

enum err custody_dispense(struct work *w, const struct custody *c, struct custody_dispense *asked)
{
	int was_busy = 0;
	enum err err;

	if (asked->min_ttl_s > asked->provider->access_ttl_s)
		return work_fail_field(w, "min_ttl",
			"is more than the %lld seconds this provider grants",
			(long long)asked->provider->access_ttl_s);
	err = read_token(w, c, asked, !asked->as_it_is);
	if (!err && asked->served.needs_renewal)
		err = asked->places ? renew_and_read(w, c, asked, &was_busy) : ERR_RENEWAL_NEEDED;
	if (!err && !asked->served.served)
		return explain(w, c, asked, was_busy);
	if (!err)
		err = unseal(w, c, asked);
	if (!err)
		asked->api_domain =
			asked->served.api_domain
				? asked->served.api_domain
				: oauth_datacenter_host(oauth_provider_datacenter(asked->provider,
								asked->served.datacenter),
					  "api");
	return err;
}
