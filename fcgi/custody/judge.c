/*
 * What a verdict means for a connection. It decides who is asked again and when, and what is beyond
 * doubt; nothing here asks, waits or writes.
 */
#include "custody/judge.h"

#include "base/text.h"

static int rotates(const struct oauth_provider *provider)
{
	return provider->rotation != OAUTH_ROTATION_NEVER;
}

/* first, doubled with each failure before this one, at most `most`. */
static int64_t doubled(int64_t first, int64_t failures, int64_t most)
{
	for (; failures > 0 && first < most; failures--)
		first *= 2;
	return first < most ? first : most;
}

/* A tenth more or less, each connection its own, so that those that failed together part. */
static int64_t spread(const struct store_claim *claim, int64_t wait_s)
{
	const int64_t share = wait_s / 5 + 1;

	return wait_s - wait_s / 10 + (claim->connection_id * 7919 + claim->fence * 104729) % share;
}

static int is_quarantined(const struct store_claim *claim)
{
	return text_equal(claim->state, "quarantined");
}

static void dead(const struct store_claim *claim, const char *cause, struct custody_judgement *j)
{
	j->outcome = CUSTODY_DEAD;
	j->state = "invalid";
	j->cause = cause;
	j->wait_s = -1;
	j->refusals = claim->refusals + 1;
	j->needs_incident = 1;
	j->is_death = 1;
}

static void held(const struct store_claim *claim, int64_t wait_s, struct custody_judgement *j)
{
	j->outcome = CUSTODY_REFUSED;
	j->cause = "ambiguous_refusal";
	j->wait_s = wait_s;
	j->deferred_by = "refusal";
	j->refusals = claim->refusals + 1;
	j->is_suspicion = 1;
}

/*
 * The grant is refused. Where an answer was lost before, the refusal may be of a token that the
 * provider had already replaced. A refusal that waits for its confirmation does so once, and once
 * more in a storm.
 */
static void refused(const struct oauth_provider *provider, const struct store_claim *claim,
	int is_storm, struct custody_judgement *j)
{
	const int64_t needed = provider->confirm_dead_s ? 2 : 1;

	if (rotates(provider) && (claim->is_ambiguous || is_quarantined(claim)))
		dead(claim, "ambiguous_rotation", j);
	else if (claim->refusals + 1 < needed)
		held(claim, provider->confirm_dead_s, j);
	else if (is_storm && claim->refusals + 1 == needed) {
		held(claim, spread(claim, CUSTODY_JUDGE_HELD_S), j);
		j->is_death = 1;
	} else
		dead(claim, claim->grant_is_over ? "grant_expired" : "user_revoked", j);
}

static void throttled(const struct store_claim *claim, const struct oauth_outcome *outcome,
	struct custody_judgement *j)
{
	int again = text_equal(claim->cause, "rate_limited");

	j->outcome = CUSTODY_RETRY;
	j->cause = is_quarantined(claim) ? claim->cause : "rate_limited";
	j->wait_s = outcome->retry_after_s
			    ? (int64_t)outcome->retry_after_s
			    : spread(claim, doubled(CUSTODY_JUDGE_RATE_S,
						    again ? claim->failures : 0, 3600));
	j->deferred_by = "rate";
}

static void failed(const struct store_claim *claim, const struct oauth_outcome *outcome,
	struct custody_judgement *j)
{
	int looked_at = outcome->is_unknown && claim->failures + 1 >= CUSTODY_JUDGE_INVESTIGATE;

	j->outcome = CUSTODY_RETRY;
	if (!is_quarantined(claim))
		j->cause = looked_at ? "our_fault" : "provider_outage";
	j->has_run_out =
		!claim->access_lives && claim->failures + 1 >= CUSTODY_JUDGE_RUN_OUT && !looked_at;
	j->needs_incident = looked_at || (j->has_run_out && !is_quarantined(claim));
	j->wait_s = looked_at ? CUSTODY_JUDGE_INVESTIGATE_S
			      : doubled(CUSTODY_JUDGE_BACKOFF_S, claim->failures,
					CUSTODY_JUDGE_BACKOFF_MAX_S);
	if (outcome->retry_after_s > j->wait_s)
		j->wait_s = outcome->retry_after_s;
	j->wait_s = spread(claim, j->wait_s);
	j->deferred_by = outcome->retry_after_s ? "rate" : "backoff";
}

/*
 * The provider may have acted, and nobody has its answer. Where it does not rotate, or still takes
 * the old token for a while, the same request is simply sent again, in time; elsewhere the token is
 * left alone until one more try settles it.
 */
static void lost(const struct oauth_provider *provider, const struct store_claim *claim,
	struct custody_judgement *j)
{
	int64_t soon_s = provider->reuse_grace_s / 3;

	j->is_ambiguous = rotates(provider);
	if (!rotates(provider))
		return;
	if (soon_s > 0) {
		if (j->wait_s > soon_s)
			j->wait_s = soon_s;
		return;
	}
	j->needs_incident = !is_quarantined(claim);
	j->outcome = CUSTODY_AMBIGUOUS;
	j->state = "quarantined";
	j->cause = "ambiguous_rotation";
}

static struct custody_judgement unchanged(const struct store_claim *claim)
{
	return (struct custody_judgement){
		.state = claim->state, .cause = claim->cause, .refusals = claim->refusals};
}

void custody_judge(const struct oauth_provider *provider, const struct store_claim *claim,
	const struct oauth_outcome *outcome, int is_storm, struct custody_judgement *j)
{
	*j = unchanged(claim);
	switch (outcome->verdict) {
	case OAUTH_OK:
		j->outcome = CUSTODY_RENEWED;
		break;
	case OAUTH_DEAD:
		refused(provider, claim, is_storm, j);
		break;
	case OAUTH_APP:
		j->outcome = CUSTODY_APP;
		j->wait_s = CUSTODY_JUDGE_BACKOFF_S; /* until its gate says when */
		j->deferred_by = "gate";
		break;
	case OAUTH_RATE:
		throttled(claim, outcome, j);
		break;
	case OAUTH_DEAD_OR_APP:
	case OAUTH_SCOPE:
	case OAUTH_RETRY:
		failed(claim, outcome, j);
		if (outcome->maybe_done)
			lost(provider, claim, j);
		break;
	}
}

void custody_judge_lost(const struct oauth_provider *provider, const struct store_claim *claim,
	struct custody_judgement *j)
{
	*j = unchanged(claim);
	j->outcome = CUSTODY_RETRY;
	lost(provider, claim, j); /* and at once: the process is gone, not the provider */
	j->wait_s = 0;
}

int custody_judge_is_outage(const struct oauth_outcome *outcome)
{
	return outcome->verdict == OAUTH_RETRY && !outcome->is_foreign;
}

int64_t custody_judge_share(const struct oauth_provider *provider, enum custody_why why)
{
	const int64_t count = provider->mint_quota.count;
	const int64_t most = count < STORE_RENEWAL_MINTS_MAX ? count : STORE_RENEWAL_MINTS_MAX;
	const int64_t share = why == CUSTODY_WHY_DUE ? most * 4 / 5 : most / 2;

	return count && share < 1 ? 1 : share;
}

int64_t custody_judge_quota(const struct oauth_provider *provider, const struct store_claim *claim,
	enum custody_why why)
{
	const struct oauth_mint_quota *quota = &provider->mint_quota;
	const int64_t share = custody_judge_share(provider, why);
	size_t first = 0, used;

	if (!share)
		return 0;
	while (first < claim->mint_count && claim->mint_ages_s[first] >= quota->window_s)
		first++;
	used = claim->mint_count - first;
	if ((int64_t)used < share)
		return 0;
	return quota->window_s - claim->mint_ages_s[first + used - (size_t)share] + 1;
}

int64_t custody_judge_quota_left_s(const struct custody_renewal *renewal)
{
	return renewal->outcome == CUSTODY_DEFERRED && text_equal(renewal->code, "mint_quota")
		       ? renewal->wait_s
		       : 0;
}
