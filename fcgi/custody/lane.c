/*
 * Lanes of a run and gates of all runs. It decides who goes first, when a gate opens and closes,
 * and that each tells people once; what an answer means is judge's business.
 */
#include "custody/lane.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "custody/trouble.h"

#include <stdio.h>

#define TRY_S 60
#define CALM_NOTE_MS 1000 /* a good answer at a calm gate is written so much later at most */
#define RESUME_S 15       /* over which those behind a gate come back */

/* When a gate opens, and for how long. */
struct rule {
	int64_t threshold, first_s, longest_s;
	const char *cause, *reason;
};

static const struct rule provider_rule = {5, 30, 600, "provider_outage",
	"the provider gave no answer that could be used, several times in a row"};
static const struct rule app_rule = {
	1, 300, 3600, "app_credentials", "the provider does not accept the app's credentials"};
static const struct rule throttle_rule = {3, CUSTODY_JUDGE_RATE_S, 3600, "rate_limited",
	"the provider asks for patience, connection after connection of one app"};

enum lane_state {
	LANE_CALM,
	LANE_UNTRIED, /* the next request goes alone */
	LANE_TRYING,
	LANE_SHUT
};

struct custody_lane {
	struct custody_lane *next;
	struct store_gate_key key;
	const char *version; /* of the definition; NULL: an app's lane */
	enum lane_state state;
	const void *who; /* tries */
	int is_changed;  /* the definition, and nothing has proved it since */
	struct custody_lanes *all;
	size_t on_their_way;
	int64_t patience_s; /* that the provider asked for; 0: it did not say */
	int64_t gate_id;
	int is_gate_closed;
	int64_t shut_until_ms, noted_ms;
	int64_t good, bad;
	const struct rule *rule;             /* that the bad are counted by */
	char code[OAUTH_CODE_MAX_BYTES + 1]; /* of the bad */
};

struct custody_lanes {
	struct work *w;
	struct custody_lane *first;
	int careful;
	size_t concurrency, providers;
	int64_t resumed_until_ms;
};

struct custody_lanes *custody_lanes_new(struct work *w, int careful, size_t concurrency)
{
	struct custody_lanes *lanes = work_alloc(w, sizeof(*lanes));

	*lanes = (struct custody_lanes){.w = w, .careful = careful, .concurrency = concurrency};
	return lanes;
}

/* --- finding --------------------------------------------------------------------------------- */

static struct custody_lane *find(
	const struct custody_lanes *lanes, const struct store_claim *claim, int64_t app_id)
{
	struct custody_lane *lane = lanes->first;

	while (lane &&
		(lane->key.app_id != app_id || !text_equal(lane->key.provider, claim->provider) ||
			!text_equal(lane->key.datacenter, claim->datacenter)))
		lane = lane->next;
	return lane;
}

static struct custody_lane *add(
	struct custody_lanes *lanes, const struct store_claim *claim, int64_t app_id)
{
	struct custody_lane *lane = work_alloc(lanes->w, sizeof(*lane));

	*lane = (struct custody_lane){
		.next = lanes->first,
		.key = {work_strdup(lanes->w, claim->provider),
			work_strdup(lanes->w, claim->datacenter), app_id},
		.rule = app_id ? &app_rule : &provider_rule,
		.is_gate_closed = 1,
	};
	lane->all = lanes;
	lanes->first = lane;
	lanes->providers += !app_id;
	return lane;
}

/* What all processes know by now goes before what this run believed. */
static void update(struct custody_lane *lane, const struct store_gate *gate)
{
	int is_closed = !gate->id || gate->state == STORE_GATE_CLOSED;

	lane->gate_id = gate->id;
	if (is_closed && !lane->is_gate_closed && lane->state == LANE_SHUT)
		lane->state = LANE_UNTRIED;
	/* unless this run knows better, and has not written it yet */
	if (!is_closed && lane->state != LANE_TRYING && lane->state != LANE_SHUT && !lane->good) {
		lane->state = LANE_SHUT;
		lane->shut_until_ms = clock_monotonic_ms() + gate->retry_in_s * 1000;
	}
	lane->is_gate_closed = is_closed;
}

void custody_lanes_of(struct custody_lanes *lanes, const struct oauth_provider *provider,
	const struct store_claim *claim, struct custody_lane_pair *pair)
{
	pair->provider = find(lanes, claim, 0);
	if (!pair->provider) {
		pair->provider = add(lanes, claim, 0);
		pair->provider->version = provider->version;
		if (!text_equal(claim->provider_gate.version, provider->version))
			pair->provider->state = LANE_UNTRIED;
		pair->provider->is_changed =
			claim->provider_gate.version && pair->provider->state == LANE_UNTRIED;
	}
	pair->app = find(lanes, claim, claim->app_id);
	if (!pair->app) {
		pair->app = add(lanes, claim, claim->app_id);
		pair->app->state = lanes->careful ? LANE_UNTRIED : LANE_CALM;
	}
	update(pair->provider, &claim->provider_gate);
	update(pair->app, &claim->app_gate);
}

/* --- entering and leaving -------------------------------------------------------------------- */

static int is_shut(struct custody_lane *lane, int64_t *wait_s, const char **cause)
{
	int64_t left_ms = lane->shut_until_ms - clock_monotonic_ms();

	if (lane->state != LANE_SHUT)
		return 0;
	if (left_ms <= 0) {
		lane->state = LANE_UNTRIED;
		return 0;
	}
	*wait_s = (left_ms + 999) / 1000;
	*cause = lane->rule->cause;
	return 1;
}

/* One that is slow, or hangs, must leave room for the others. */
static int is_full(const struct custody_lane *lane)
{
	const size_t most = lane->all->concurrency - lane->all->concurrency / 4;

	return lane->all->providers > 1 && lane->on_their_way >= most;
}

static void come_back(struct custody_lane_pair *pair)
{
	pair->provider->on_their_way -= (size_t)pair->is_in;
	pair->is_in = 0;
}

static int is_taken(const struct custody_lane *lane, const void *who)
{
	return lane->state == LANE_TRYING && lane->who != who;
}

/* One process of all may try a gate that is not closed. */
static enum err take(struct work *w, const struct custody *c, struct custody_lane *lane,
	const void *who, int *is_mine)
{
	enum err err = ERR_OK;

	*is_mine = 1;
	if (lane->state != LANE_UNTRIED)
		return ERR_OK;
	if (!lane->is_gate_closed)
		err = store_gate_try(w, c->db, lane->gate_id, TRY_S, is_mine);
	if (err)
		return err;
	lane->state = *is_mine ? LANE_TRYING : LANE_SHUT;
	lane->who = *is_mine ? who : NULL;
	lane->shut_until_ms = clock_monotonic_ms() + TRY_S * 1000;
	return ERR_OK;
}

static void settle(struct custody_lane *lane, const void *who, enum lane_state state)
{
	if (lane->state == LANE_TRYING && lane->who == who) {
		lane->state = state;
		lane->who = NULL;
	}
}

void custody_lane_left(struct custody_lane_pair *pair, const void *who)
{
	come_back(pair);
	settle(pair->provider, who, LANE_UNTRIED);
	settle(pair->app, who, LANE_UNTRIED);
}

enum err custody_lane_enter(struct work *w, const struct custody *c, struct custody_lane_pair *pair,
	const void *who, enum custody_pass *pass, int64_t *wait_s, const char **cause)
{
	int is_mine = 0, prove;
	enum err err;

	*wait_s = 0;
	*cause = NULL;
	*pass = CUSTODY_PASS_SHUT;
	if (is_shut(pair->provider, wait_s, cause) || is_shut(pair->app, wait_s, cause))
		return ERR_OK;
	*pass = CUSTODY_PASS_WAIT;
	if (is_taken(pair->provider, who) || is_taken(pair->app, who) || is_full(pair->provider))
		return ERR_OK;
	prove = pair->app->state == LANE_UNTRIED && !pair->app->is_gate_closed;
	err = take(w, c, pair->provider, who, &is_mine);
	if (!err && is_mine)
		err = take(w, c, pair->app, who, &is_mine);
	if (err || !is_mine) {
		*pass = CUSTODY_PASS_SHUT;
		custody_lane_left(pair, who);
		if (!is_shut(pair->provider, wait_s, cause))
			is_shut(pair->app, wait_s, cause);
		return err;
	}
	pair->is_in = 1;
	pair->provider->on_their_way++;
	*pass = prove ? CUSTODY_PASS_PROVE_APP : CUSTODY_PASS_GO;
	return ERR_OK;
}

/* --- answers --------------------------------------------------------------------------------- */

static void shut(struct custody_lane *lane, int64_t wait_s)
{
	lane->state = LANE_SHUT;
	lane->who = NULL;
	lane->shut_until_ms = clock_monotonic_ms() + wait_s * 1000;
}

/* The next one tries; but a changed definition that did not work on the first is not tried on the
 * others in this run. */
static void try_next(struct custody_lane *lane, const void *who)
{
	if (lane->is_changed && lane->who == who)
		shut(lane, provider_rule.first_s);
	else
		settle(lane, who, LANE_UNTRIED);
}

static void count_bad(struct custody_lane *lane, const struct rule *rule, const char *code)
{
	if (!text_equal(lane->code, code))
		lane->bad = 0;
	lane->bad++;
	lane->rule = rule;
	snprintf(lane->code, sizeof(lane->code), "%s", code);
}

void custody_lane_answered(
	struct custody_lane_pair *pair, const void *who, const struct oauth_outcome *outcome)
{
	come_back(pair);
	if (outcome->verdict == OAUTH_RETRY && !custody_judge_is_outage(outcome)) {
		try_next(pair->provider, who); /* it proves nothing of anybody else */
		settle(pair->app, who, LANE_UNTRIED);
		return;
	}
	if (custody_judge_is_outage(outcome)) {
		count_bad(pair->provider, &provider_rule, outcome->code);
		try_next(pair->provider, who);
		settle(pair->app, who, LANE_UNTRIED);
		return;
	}
	pair->provider->good++;
	pair->provider->is_changed = 0;
	settle(pair->provider, who, LANE_CALM);
	if (outcome->verdict == OAUTH_APP) {
		count_bad(pair->app, &app_rule, outcome->code);
		shut(pair->app, app_rule.first_s);
	} else if (outcome->verdict == OAUTH_RATE) {
		count_bad(pair->app, &throttle_rule, "throttled");
		if ((int64_t)outcome->retry_after_s > pair->app->patience_s)
			pair->app->patience_s = outcome->retry_after_s;
		settle(pair->app, who, LANE_UNTRIED);
	} else {
		pair->app->good++;
		settle(pair->app, who, LANE_CALM);
	}
}

void custody_lane_doubt_app(struct custody_lane_pair *pair, const void *who)
{
	if (pair->app->state == LANE_SHUT || is_taken(pair->app, who))
		return;
	pair->app->state = LANE_TRYING;
	pair->app->who = who;
}

void custody_lane_app_proved(struct custody_lane_pair *pair)
{
	pair->app->good++;
	pair->app->state = LANE_CALM;
	pair->app->who = NULL;
}

int64_t custody_lane_shut_s(const struct custody_lane *lane)
{
	int64_t left_ms = lane->shut_until_ms - clock_monotonic_ms();

	return left_ms > 1000 ? left_ms / 1000 : 1;
}

/* --- gates ----------------------------------------------------------------------------------- */

struct noting {
	const struct custody_lane *lane;
	struct store_gate_change change;
};

static struct custody_gate_trouble trouble_of(const struct custody_lane *lane, int64_t gate_id)
{
	return (struct custody_gate_trouble){
		.gate_id = gate_id,
		.provider = lane->key.provider,
		.datacenter = lane->key.datacenter,
		.app_id = lane->key.app_id,
		.cause = lane->rule->cause,
		.reason = lane->rule->reason,
	};
}

static enum err note(struct work *w, struct store_db *db, void *context)
{
	struct noting *n = context;
	const struct custody_lane *lane = n->lane;
	const int64_t first_s = lane->patience_s ? lane->patience_s : lane->rule->first_s;
	const struct store_gate_note note = {lane->key, lane->good, lane->bad,
		lane->bad ? lane->code : NULL, lane->rule->cause, lane->rule->threshold, first_s,
		first_s > lane->rule->longest_s ? first_s : lane->rule->longest_s,
		lane->good ? lane->version : NULL};
	struct custody_gate_trouble trouble;
	int64_t incident_id;
	enum err err = lane->bad ? store_gate_ensure(w, db, &lane->key) : ERR_OK;

	if (!err)
		err = store_gate_note(w, db, &note, &n->change);
	trouble = trouble_of(lane, n->change.id);
	if (!err && n->change.opened)
		err = custody_trouble_open_gate(w, db, &trouble, &incident_id);
	if (!err && n->change.closed)
		err = custody_trouble_resolve_gate(w, db, &trouble);
	return err;
}

static enum err resume(struct work *w, const struct custody *c, const struct store_gate_key *key,
	int64_t spread_s, size_t *n)
{
	enum err err = store_gate_resume(w, c->db, key, spread_s, n);

	log_event(LOG_INFO, "gate.resumed", LOG_TEXT("provider", key->provider),
		LOG_TEXT("datacenter", key->datacenter), LOG_INT("app", key->app_id),
		LOG_INT("connections", (int64_t)*n));
	return err;
}

static enum err apply(struct work *w, const struct custody *c, struct custody_lanes *lanes,
	struct custody_lane *lane, const struct store_gate_change *change)
{
	size_t n = 0;
	enum err err;

	lane->good = lane->bad = lane->patience_s = 0;
	lane->noted_ms = clock_monotonic_ms();
	if (!change->id)
		return ERR_OK;
	lane->gate_id = change->id;
	lane->is_gate_closed = change->state == STORE_GATE_CLOSED;
	if (!lane->is_gate_closed)
		shut(lane, change->retry_in_s > 0 ? change->retry_in_s : 1);
	if (change->opened)
		log_event(LOG_WARN, "gate.opened", LOG_TEXT("provider", lane->key.provider),
			LOG_TEXT("datacenter", lane->key.datacenter),
			LOG_INT("app", lane->key.app_id), LOG_TEXT("code", lane->code),
			LOG_INT("seconds", change->retry_in_s));
	if (!change->closed)
		return ERR_OK;
	err = resume(w, c, &lane->key, RESUME_S, &n);
	if (n)
		lanes->resumed_until_ms = lane->noted_ms + RESUME_S * 1000;
	return err;
}

int64_t custody_lanes_resumed_until_ms(const struct custody_lanes *lanes)
{
	return lanes->resumed_until_ms;
}

/* Whether what was counted says anything that the gate does not know. */
static int is_news(const struct custody_lane *lane, int at_once)
{
	if (lane->bad)
		return 1;
	if (!lane->good || (lane->key.app_id && !lane->gate_id))
		return 0;
	return at_once || !lane->is_gate_closed ||
	       clock_monotonic_ms() - lane->noted_ms >= CALM_NOTE_MS;
}

enum err custody_lanes_note(
	struct work *w, const struct custody *c, struct custody_lanes *lanes, int at_once)
{
	for (struct custody_lane *lane = lanes->first; lane; lane = lane->next) {
		struct noting n = {.lane = lane};
		enum err err;

		if (!is_news(lane, at_once))
			continue;
		err = store_db_transaction(w, c->db, note, &n);
		if (!err)
			err = apply(w, c, lanes, lane, &n.change);
		if (err)
			return err;
	}
	return ERR_OK;
}

enum err custody_lane_good(struct work *w, const struct custody *c,
	const struct oauth_provider *provider, const char *datacenter, int64_t app_id)
{
	struct custody_lanes *lanes = custody_lanes_new(w, 0, 1);
	const struct store_claim claim = {
		.provider = provider->name, .datacenter = datacenter, .app_id = app_id};
	struct custody_lane_pair pair;

	custody_lanes_of(lanes, provider, &claim, &pair);
	for (struct custody_lane *lane = lanes->first; lane; lane = lane->next) {
		lane->good = 1;
		lane->is_gate_closed = 0; /* as far as is known here: the statement looks */
		lane->gate_id = -1;
	}
	return custody_lanes_note(w, c, lanes, 1);
}

/* --- storms ---------------------------------------------------------------------------------- */

struct dying {
	const struct store_gate_key *key;
	int64_t gate_id, n, lately;
};

static enum err count_deaths(struct work *w, struct store_db *db, void *context)
{
	struct dying *d = context;
	const struct custody_gate_trouble trouble = {.gate_id = d->gate_id,
		.provider = d->key->provider,
		.datacenter = d->key->datacenter,
		.cause = "ambiguous_refusal",
		.reason = "many grants were refused within minutes"};
	int64_t incident_id;
	enum err err = store_gate_death(w, db, d->key, d->n, CUSTODY_TROUBLE_WINDOW_S, &d->lately);

	if (!err && d->lately >= CUSTODY_TROUBLE_MANY && d->gate_id)
		err = custody_trouble_open_gate(w, db, &trouble, &incident_id);
	return err;
}

enum err custody_lane_deaths(struct work *w, const struct custody *c,
	const struct store_gate_key *key, int64_t gate_id, int64_t n, int *is_storm)
{
	struct dying d = {key, gate_id, n, 0};
	enum err err = store_db_transaction(w, c->db, count_deaths, &d);

	*is_storm = !err && d.lately >= CUSTODY_TROUBLE_MANY;
	if (*is_storm)
		log_event(LOG_WARN, "deaths.held", LOG_TEXT("provider", key->provider),
			LOG_TEXT("datacenter", key->datacenter), LOG_INT("lately", d.lately));
	return err;
}

static enum err resolve_quiet(struct work *w, struct store_db *db, void *context)
{
	(void)context;
	return custody_trouble_resolve_quiet(w, db);
}

/* One of them tries for all: the others wait for it in this very run. */
static enum err resume_mended(struct work *w, const struct custody *c)
{
	struct store_gate_key *keys = NULL;
	size_t n = 0, resumed;
	enum err err = store_gate_mended(w, c->db, &keys, &n);

	for (size_t i = 0; !err && i < n; i++)
		err = resume(w, c, &keys[i], 0, &resumed);
	return err;
}

enum err custody_lanes_calm(struct work *w, const struct custody *c)
{
	enum err err = store_db_transaction(w, c->db, resolve_quiet, NULL);

	return err ? err : resume_mended(w, c);
}
