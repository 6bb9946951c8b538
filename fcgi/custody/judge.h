/*
 * From a provider's verdict on a renewal to what becomes of the connection. Pure: the same verdict
 * in the same state always means the same. What the verdict itself is, oauth/outcome.h decides.
 */
#ifndef VESTAL_CUSTODY_JUDGE_H
#define VESTAL_CUSTODY_JUDGE_H

#include "custody/renew.h"
#include "oauth/outcome.h"

#define CUSTODY_JUDGE_RATE_S 600   /* without a Retry-After; doubled each time */
#define CUSTODY_JUDGE_BACKOFF_S 30 /* after the first failure; doubled each time */
#define CUSTODY_JUDGE_BACKOFF_MAX_S 900
#define CUSTODY_JUDGE_HELD_S 600     /* a death among many */
#define CUSTODY_JUDGE_RUN_OUT 3      /* failures in a row without a living access token */
#define CUSTODY_JUDGE_INVESTIGATE 10 /* answers in a row that nobody knows */
#define CUSTODY_JUDGE_INVESTIGATE_S 3600

struct custody_judgement {
	enum custody_outcome outcome;
	const char *state, *cause; /* of the connection, from now on */
	int64_t wait_s;            /* until the next try; -1: none */
	const char *deferred_by;   /* or NULL */
	int64_t refusals;
	int is_ambiguous;   /* the provider may have acted, and rotates */
	int needs_incident; /* of the connection's own; a gate has its own */
	int is_suspicion;   /* an incident, should it be confirmed */
	int has_run_out;    /* renewals fail, and nothing is left to serve */
	int is_death;       /* counts towards a suspected incident of the provider */
};

/*
 * is_storm: many grants of this provider were refused within minutes, so that one more is held back
 * until it is confirmed. outcome->verdict is neither OK nor, because the app was proved before,
 * DEAD_OR_APP.
 */
void custody_judge(const struct oauth_provider *provider, const struct store_claim *claim,
	const struct oauth_outcome *outcome, int is_storm, struct custody_judgement *judgement);

/* The answer to a request was lost with the process that sent it. */
void custody_judge_lost(const struct oauth_provider *provider, const struct store_claim *claim,
	struct custody_judgement *judgement);

/* Whether a verdict says that the provider cannot be asked at the moment; a word of its own that
 * nobody knows says nothing of the sort. */
int custody_judge_is_outage(const struct oauth_outcome *outcome);

/* How many requests for a token within the quota's window are this caller's; 0: no quota is known.
 */
int64_t custody_judge_share(const struct oauth_provider *provider, enum custody_why why);

/*
 * Seconds until one more request for a token fits the connection's quota; 0: now. The schedule may
 * use four fifths of it, everybody else half, so that readers and people never lock out a renewal.
 */
int64_t custody_judge_quota(const struct oauth_provider *provider, const struct store_claim *claim,
	enum custody_why why);

/* How long the provider's quota is used up; 0: that is not why it was deferred. */
int64_t custody_judge_quota_left_s(const struct custody_renewal *renewal);

#endif
