/* Ordered renewals. It decides what the one who ordered is told when there is no new token; what
 * became of the old one is the renewal's business. */
#include "custody/order.h"

#include "custody/demand.h"
#include "custody/judge.h"
#include "custody/refusal.h"
#include "store/audit.h"
#include "store/client.h"
#include "store/connection.h"

#define RETRY_AFTER_S 30

static enum err find(struct work *w, const struct custody *c, const struct custody_order *order,
	int64_t *connection_id)
{
	enum err err =
		store_connection_find(w, c->db, order->client, order->provider, connection_id);

	if (err == ERR_CONNECTION_UNKNOWN) {
		enum err client = store_client_get(w, c->db, order->client, NULL);

		return client ? client : err;
	}
	return err;
}

/* What could not even be tried is an operator's trouble, and may be over soon. */
static enum err renew(struct work *w, const struct custody *c, struct custody_demand *demand)
{
	enum err err = custody_demand(w, c, demand);

	if (err && !w->retry_after_s)
		w->retry_after_s = RETRY_AFTER_S;
	return err;
}

static struct custody_demand demand_of(const struct custody_order *order, int64_t connection_id,
	enum custody_why why, int64_t generation)
{
	return (struct custody_demand){.connection_id = connection_id,
		.generation = generation,
		.client = order->client,
		.provider = order->provider,
		.why = why,
		.places = order->places,
		.is_needed = 1};
}

/* What is there in the end: a newer token, whoever made it; or why there is none. */
static enum err conclude(struct work *w, const struct custody *c, struct custody_order *order,
	const struct custody_demand *demand, struct custody_refusal *refusal)
{
	enum err err;

	work_forgive(w); /* what was noted on the way */
	*refusal = (struct custody_refusal){.connection_id = demand->connection_id,
		.was_busy = demand->renewal.outcome == CUSTODY_BUSY,
		.quota_s = custody_judge_quota_left_s(&demand->renewal)};
	err = custody_refusal_read(w, c, refusal);
	if (err)
		return err;
	order->status = refusal->status;
	order->generation = refusal->look.generation;
	order->renewed = order->generation > demand->generation;
	if (order->renewed)
		return ERR_OK;
	w->retry_after_s = refusal->retry_after_s;
	if (refusal->needs_person)
		return custody_refusal_of_person(w, refusal);
	if (demand->renewal.outcome == CUSTODY_UNREADABLE)
		return ERR_SEALED;
	return ERR_TOKEN_UNAVAILABLE;
}

static enum err note_report(struct work *w, const struct custody *c,
	const struct custody_order *order, int64_t connection_id)
{
	return store_audit_add(w, c->db,
		&(struct store_event){.action = "token.rejected",
			.client = order->client,
			.provider = order->provider,
			.connection_id = connection_id,
			.generation = order->reported});
}

static enum err renew_rejected(
	struct work *w, const struct custody *c, struct custody_order *order, int64_t connection_id)
{
	struct custody_demand demand =
		demand_of(order, connection_id, CUSTODY_WHY_REJECTED, order->reported);
	struct custody_refusal refusal;
	enum err err = note_report(w, c, order, connection_id);

	if (!err)
		err = renew(w, c, &demand);
	if (!err)
		err = conclude(w, c, order, &demand, &refusal);
	return err == ERR_TOKEN_UNAVAILABLE ? work_fail(w, err, "%s", refusal.what) : err;
}

enum err custody_order_rejected(
	struct work *w, const struct custody *c, struct custody_order *order)
{
	struct store_left left;
	int64_t connection_id = 0;
	enum err err = find(w, c, order, &connection_id);

	if (!err)
		err = store_renewal_left(w, c->db, connection_id, &left);
	if (err)
		return err;
	if (order->reported > left.last_generation)
		return work_fail_field(w, "generation", "is newer than any there was");
	if (left.generation == order->reported)
		return renew_rejected(w, c, order, connection_id);
	order->generation = left.generation;
	return left.generation ? ERR_OK
			       : work_fail(w, ERR_REAUTHORIZATION_REQUIRED,
					 "The connection holds no token: an administrator has to "
					 "authorize it again.");
}

/* An administrator is told more exactly than a service what it was that stood in the way. */
static enum err explain_refresh(struct work *w, enum custody_outcome outcome, const char *what)
{
	if (outcome == CUSTODY_RETRY)
		return work_fail(w, ERR_PROVIDER_UNAVAILABLE,
			"The provider was asked in vain; the token that was there stays.");
	if (outcome == CUSTODY_APP)
		return work_fail(w, ERR_TOKEN_REFUSED,
			"The provider refuses the credentials of the app, not the token.");
	return work_fail(w, ERR_RENEWAL_DEFERRED, "%s", what);
}

enum err custody_order_refresh(struct work *w, const struct custody *c, struct custody_order *order)
{
	struct custody_refusal refusal = {0};
	struct custody_demand demand;
	enum err err = find(w, c, order, &refusal.connection_id);

	if (!err)
		err = custody_refusal_read(w, c, &refusal);
	if (err)
		return err;
	if (refusal.needs_person)
		return custody_refusal_of_person(w, &refusal);
	demand =
		demand_of(order, refusal.connection_id, CUSTODY_WHY_ADMIN, refusal.look.generation);
	err = renew(w, c, &demand);
	if (!err)
		err = conclude(w, c, order, &demand, &refusal);
	return err == ERR_TOKEN_UNAVAILABLE
		       ? explain_refresh(w, demand.renewal.outcome, refusal.what)
		       : err;
}
