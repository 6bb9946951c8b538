/*
 * Who may be asked, during one run: a lane for every provider's data centre and every app that the
 * run meets, on top of the gates that all processes share (store/gate.h). A run sends the first
 * request of every app alone, and that of every changed definition; the others wait until it proved
 * them, so that wrong credentials cost one refresh and not one for each connection.
 */
#ifndef VESTAL_CUSTODY_LANE_H
#define VESTAL_CUSTODY_LANE_H

#include "custody/judge.h"
#include "store/gate.h"

struct custody_lane;
struct custody_lanes;

enum custody_pass {
	CUSTODY_PASS_GO,
	CUSTODY_PASS_PROVE_APP, /* go, but with the proof of the app first */
	CUSTODY_PASS_WAIT,      /* another one is trying */
	CUSTODY_PASS_SHUT,      /* not now: see *wait_s and *cause */
};

/* careful: whether apps have to be proved first; where one connection alone is renewed it is its
 * own proof. concurrency: of the run; where there are several providers, none gets all of it. Owns:
 * the work. */
struct custody_lanes *custody_lanes_new(struct work *w, int careful, size_t concurrency);

/* The lanes of a claim, made or brought up to date. Both are set together.
 */
struct custody_lane_pair {
	struct custody_lane *provider, *app;
	int is_in; /* its request is on its way */
};
void custody_lanes_of(struct custody_lanes *lanes, const struct oauth_provider *provider,
	const struct store_claim *claim, struct custody_lane_pair *pair);

/*
 * Whether a connection's request may go out now. One that may, and tries, holds its lanes until
 * custody_lane_answered() or _left(). who: any pointer that is the job's own. Returns the
 * database's errors.
 */
enum err custody_lane_enter(struct work *w, const struct custody *c, struct custody_lane_pair *pair,
	const void *who, enum custody_pass *pass, int64_t *wait_s, const char **cause) MUST_CHECK;

/* What came back of it; counted, and written by custody_lanes_note(). */
void custody_lane_answered(
	struct custody_lane_pair *pair, const void *who, const struct oauth_outcome *outcome);

/* An answer that may mean the grant or the app: nothing else of the app goes out until it is
 * proved.
 */
void custody_lane_doubt_app(struct custody_lane_pair *pair, const void *who);

/* The made-up code was refused as a code: the app's credentials are good. */
void custody_lane_app_proved(struct custody_lane_pair *pair);

/* It never went out. */
void custody_lane_left(struct custody_lane_pair *pair, const void *who);

/* How long the gate of an app that was just refused stays shut. */
int64_t custody_lane_shut_s(const struct custody_lane *lane);

/*
 * Writes what was counted to the gates; a gate that opens or closes by it opens or resolves its
 * incident in the same commit, and what waited behind one that closes is due again. at_once: also
 * what could wait a moment. Returns the database's errors; nothing is lost then.
 */
enum err custody_lanes_note(struct work *w, const struct custody *c, struct custody_lanes *lanes,
	int at_once) MUST_CHECK;

/*
 * A good answer to a refresh outside of a run: closes the gates of that provider and app, as a
 * renewal's would. Returns the database's errors.
 */
enum err custody_lane_good(struct work *w, const struct custody *c,
	const struct oauth_provider *provider, const char *datacenter, int64_t app_id) MUST_CHECK;

/* When what waited behind a gate was made due again by this run, on the monotonic clock, and until
 * when that is spread; 0: never. */
int64_t custody_lanes_resumed_until_ms(const struct custody_lanes *lanes);

/*
 * Counts n refused grants at a provider's data centre. *is_storm: there are so many of late that
 * the provider itself is suspect; its incident is open then.
 */
enum err custody_lane_deaths(struct work *w, const struct custody *c,
	const struct store_gate_key *key, int64_t gate_id, int64_t n, int *is_storm) MUST_CHECK;

/* Resolves the incidents of gates that are closed and quiet again. Returns the database's errors.
 */
enum err custody_lanes_calm(struct work *w, const struct custody *c) MUST_CHECK;

#endif
