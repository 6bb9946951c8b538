/*
 * The waiter. It listens before it looks for good, so that no end of a renewal is missed between
 * the two, and what it hears only makes it look again: what counts is the row. It never renews,
 * whoever holds the lease and however long.
 */
#include "custody/wait.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "custody/recover.h"
#include "store/renewal.h"

#include <inttypes.h>
#include <string.h>

#define STRANGERS_MAX 50000
#define TOKENS "vestal_token"
#define RENEWALS "vestal_renewal"
#define SPARE_MS 1000
#define YOUNG_S 1
#define YOUNG_STEP_MS 250

struct watch {
	const struct custody_awaited *awaited;
	const char *client, *provider, *id; /* as notifications write them */
	int has_place, heard;
	int strangers; /* notifications of others */
};

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* One that began a moment ago is waited for without a place, too: most are over soon. */
static int64_t patience_ms(const struct work *w, const struct custody *c, const struct watch *watch,
	const struct store_look *look)
{
	int64_t left_ms = work_left_ms(w) - SPARE_MS;

	if (watch->strangers > STRANGERS_MAX) /* each is kept until the request ends */
		return 0;
	if (watch->has_place)
		return least(left_ms, (look->lease_left_s + 1) * 1000);
	if (!watch->awaited->is_needed ||
		look->lease_left_s + YOUNG_S < conf_number(c->conf, CONF_lease_s))
		return 0;
	return least(left_ms, YOUNG_STEP_MS);
}

/* Names hold no character that JSON writes in another way. One notification too many costs a look.
 */
static int is_about(const struct watch *watch, const char *channel, const char *payload)
{
	if (text_equal(channel, RENEWALS))
		return text_equal(payload, watch->id);
	return strstr(payload, watch->client) && strstr(payload, watch->provider);
}

/* Until something is heard of the connection, or ms are over. */
static enum err hear(struct work *w, const struct custody *c, struct watch *watch, int64_t ms)
{
	const int64_t until_ms = clock_monotonic_ms() + ms;
	const char *channel = NULL, *payload = NULL;

	watch->heard = 0;
	while (!watch->heard && ms > 0) {
		enum err err = store_db_wait(w, c->db, ms, &channel, &payload);

		if (err || !payload)
			return err;
		watch->heard = is_about(watch, channel, payload);
		watch->strangers += !watch->heard;
		ms = until_ms - clock_monotonic_ms();
	}
	return ERR_OK;
}

static enum err look(struct work *w, const struct custody *c, const struct watch *watch,
	struct store_look *seen, enum custody_waited *waited)
{
	enum err err = store_renewal_look(w, c->db, watch->awaited->connection_id, seen);

	if (err)
		return err;
	if (seen->generation != watch->awaited->generation)
		*waited = CUSTODY_WAITED;
	else if (!seen->is_leased)
		*waited = watch->heard ? CUSTODY_WAITED : CUSTODY_WAIT_FREE;
	else
		*waited = CUSTODY_WAIT_ENDED;
	return ERR_OK;
}

static enum err look_and_hear(
	struct work *w, const struct custody *c, struct watch *watch, enum custody_waited *waited)
{
	struct store_look seen;
	enum err err = ERR_OK;

	while (!err) {
		int64_t ms;

		err = look(w, c, watch, &seen, waited);
		ms = err || *waited != CUSTODY_WAIT_ENDED ? 0 : patience_ms(w, c, watch, &seen);
		if (ms <= 0)
			break;
		err = hear(w, c, watch, ms);
	}
	return err;
}

static enum err listen_and_look(
	struct work *w, const struct custody *c, struct watch *watch, enum custody_waited *waited)
{
	enum err err = store_db_listen(w, c->db, TOKENS), end;

	if (!err)
		err = store_db_listen(w, c->db, RENEWALS);
	if (!err)
		err = look_and_hear(w, c, watch, waited);
	end = store_db_unlisten(w, c->db);
	return err ? err : end;
}

/* A holder of this host that was killed is settled, not waited for. */
static enum err settle_dead(struct work *w, const struct custody *c, const struct watch *watch,
	struct store_look *seen, enum custody_waited *waited)
{
	struct custody_recovered recovered;

	if (custody_recover(w, c, &recovered)) {
		log_event(LOG_WARN, "recovery.failed", LOG_TEXT("why", w->cause));
		work_forgive(w);
	}
	return recovered.spools ? look(w, c, watch, seen, waited) : ERR_OK;
}

enum err custody_wait(struct work *w, const struct custody *c, const struct custody_places *places,
	const struct custody_awaited *awaited, enum custody_waited *waited)
{
	struct watch watch = {.awaited = awaited,
		.client = work_printf(w, "\"%s\"", awaited->client),
		.provider = work_printf(w, "\"%s\"", awaited->provider),
		.id = work_printf(w, "%" PRId64, awaited->connection_id)};
	struct custody_place place;
	struct store_look seen;
	enum err err = look(w, c, &watch, &seen, waited);

	if (!err && *waited == CUSTODY_WAIT_ENDED)
		err = settle_dead(w, c, &watch, &seen, waited);
	if (err || *waited != CUSTODY_WAIT_ENDED)
		return err;
	watch.has_place = custody_place_to_wait(w, c, places, &place);
	if (patience_ms(w, c, &watch, &seen) > 0)
		err = listen_and_look(w, c, &watch, waited);
	custody_place_leave(&place);
	return err;
}
