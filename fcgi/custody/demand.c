/* Who renews and who waits. It decides that a request asks at most twice, the second time only when
 * the one it waited for is gone without a word. */
#include "custody/demand.h"

#include "custody/wait.h"

#define TRIES 2
#define SPARE_MS 2000

static enum err renew(
	struct work *w, const struct custody *c, struct custody_demand *demand, int *is_over)
{
	struct custody_place place;
	int has_place = custody_place_to_renew(w, c, demand->places, demand->provider, &place);
	enum err err = ERR_OK;

	if (has_place)
		err = custody_renew_one(w, c, demand->connection_id, demand->why,
			demand->generation, &demand->renewal);
	custody_place_leave(&place);
	*is_over = !has_place || demand->renewal.outcome != CUSTODY_BUSY;
	return err;
}

static int has_time_to_renew(const struct work *w, const struct custody *c)
{
	return work_left_ms(w) >= conf_number(c->conf, CONF_provider_timeout_s) * 1000 + SPARE_MS;
}

enum err custody_demand(struct work *w, const struct custody *c, struct custody_demand *demand)
{
	const struct custody_awaited awaited = {demand->connection_id, demand->generation,
		demand->client, demand->provider, demand->is_needed};
	enum custody_waited waited = CUSTODY_WAIT_ENDED;
	int is_over = 0;
	enum err err;

	demand->renewal = (struct custody_renewal){.outcome = CUSTODY_BUSY};
	if (!c->renewer || !demand->places)
		return work_cause(w, ERR_BUG, "this pool renews nothing");
	for (int i = 0;; i++) {
		err = custody_wait(w, c, demand->places, &awaited, &waited);
		if (err || waited != CUSTODY_WAIT_FREE || i == TRIES || !has_time_to_renew(w, c))
			return err;
		err = renew(w, c, demand, &is_over);
		if (err || is_over)
			return err;
	}
}
