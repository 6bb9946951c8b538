/*
 * Writing what renewals brought. It decides what is one commit: tokens with their events, failures
 * with their incidents. What is written may be newer than what a job knew; then the row stays.
 */
#include "custody/settle.h"

#include "base/log.h"
#include "custody/token.h"
#include "store/revocation.h"

/* --- tokens ---------------------------------------------------------------------------------- */

static enum err seal(struct work *w, const struct custody *c, const struct custody_fresh *fresh,
	const char *column, const struct secret *secret, struct store_sealed *sealed,
	const char **fingerprint)
{
	const struct custody_token_place place = {
		fresh->client, fresh->provider, column, fresh->to};

	return custody_token_seal(w, c, &place, secret, sealed, fingerprint);
}

static enum err row_of(struct work *w, const struct custody *c, const struct custody_fresh *fresh,
	struct store_renewed *row)
{
	enum err err;

	*row = (struct store_renewed){
		.connection_id = fresh->connection_id,
		.fence = fresh->fence,
		.from = fresh->from,
		.to = fresh->to,
		.token_type = fresh->token_type,
		.lifetime_s = fresh->lifetime_s,
		.refresh_lifetime_s = fresh->refresh_lifetime_s,
		.idle_ttl_s = fresh->idle_ttl_s,
		.asked_at = fresh->asked_at,
		.api_domain = fresh->api_domain,
		.scope = fresh->scope,
		.scope_is = fresh->scope_is,
		.margin_s = fresh->margin_s,
		.late_s = fresh->late_s,
		.why = fresh->why,
	};
	err = seal(w, c, fresh, "access", fresh->access, &row->access, &row->access_fingerprint);
	return err ? err
		   : seal(w, c, fresh, "refresh", fresh->refresh, &row->refresh,
			     &row->refresh_fingerprint);
}

static enum err rows_of(struct work *w, const struct custody *c,
	const struct custody_fresh *const *fresh, size_t n, struct store_renewed *rows)
{
	enum err err = ERR_OK;

	for (size_t i = 0; !err && i < n; i++)
		err = row_of(w, c, fresh[i], &rows[i]);
	return err;
}

/* After the commit, because what that waited for may have been the removal of the token. */
static enum err revoke_stray(struct work *w, const struct custody *c,
	const struct custody_fresh *fresh, enum store_settled settled)
{
	struct store_renewed row;
	enum err err;

	if (settled != STORE_SUPERSEDED)
		return ERR_OK;
	err = row_of(w, c, fresh, &row);
	return err ? err : store_revocation_stray(w, c->db, &row);
}

enum err custody_settle_fresh(struct work *w, const struct custody *c,
	const struct custody_fresh *const *fresh, size_t n, enum store_settled *settled)
{
	struct store_renewed *rows = work_alloc(w, (n + 1) * sizeof(*rows));
	enum err err = rows_of(w, c, fresh, n, rows);

	if (!err)
		err = store_renewal_renewed(w, c->db, rows, n, settled);
	for (size_t i = 0; !err && i < n; i++)
		err = revoke_stray(w, c, fresh[i], settled[i]);
	return err;
}

enum err custody_settle_send(struct work *w, const struct custody *c,
	struct custody_job *const *jobs, size_t n, size_t *sent)
{
	const struct custody_fresh *fresh[CUSTODY_SETTLE_MAX];
	struct store_renewed rows[CUSTODY_SETTLE_MAX];
	enum err err;

	*sent = 0;
	for (size_t i = 0; i < n; i++)
		fresh[i] = &jobs[i]->fresh;
	err = rows_of(w, c, fresh, n, rows);
	if (!err)
		err = store_renewal_send(w, c->db, rows, n, sent);
	for (size_t i = 0; !err && i < *sent; i++)
		jobs[i]->stage = CUSTODY_JOB_SETTLING;
	return err;
}

enum err custody_settle_fetch(
	struct work *w, const struct custody *c, struct custody_job *const *jobs, size_t n)
{
	enum store_settled settled[CUSTODY_SETTLE_MAX];
	int64_t ids[CUSTODY_SETTLE_MAX] = {0};
	enum err err;

	for (size_t i = 0; i < n; i++)
		ids[i] = jobs[i]->claim.connection_id;
	err = store_renewal_fetch(w, c->db, ids, n, settled);
	for (size_t i = 0; i < n; i++) {
		jobs[i]->stage = CUSTODY_JOB_DONE;
		if (!err)
			jobs[i]->settled = settled[i];
	}
	for (size_t i = 0; !err && i < n; i++)
		err = revoke_stray(w, c, &jobs[i]->fresh, settled[i]);
	return err;
}

static int is_renewed(const struct custody_job *job)
{
	return job->judgement.outcome == CUSTODY_RENEWED;
}

static enum err settle_renewed(
	struct work *w, const struct custody *c, struct custody_job *const *jobs, size_t n)
{
	struct custody_job *which[CUSTODY_SETTLE_MAX];
	size_t count = 0, sent = 0;
	enum err err = ERR_OK;

	for (size_t i = 0; i < n; i++)
		if (is_renewed(jobs[i]))
			which[count++] = jobs[i];
	for (size_t first = 0; !err && first < count; first += sent) {
		err = custody_settle_send(w, c, &which[first], count - first, &sent);
		if (!err)
			err = custody_settle_fetch(w, c, &which[first], sent);
	}
	return err;
}

/* --- failures -------------------------------------------------------------------------------- */

struct failures {
	const struct store_failed *rows;
	const struct custody_trouble *const *troubles;
	size_t n;
	int *counts;
};

static enum err write_failures(struct work *w, struct store_db *db, void *context)
{
	const struct failures *f = context;
	enum err err = store_renewal_failed(w, db, f->rows, f->n, f->counts);
	int64_t incident_id;

	for (size_t i = 0; !err && i < f->n; i++)
		if (f->counts[i] && f->troubles[i])
			err = custody_trouble_open(w, db, f->troubles[i], &incident_id);
	return err;
}

enum err custody_settle_failed(struct work *w, const struct custody *c,
	const struct store_failed *rows, const struct custody_trouble *const *troubles, size_t n,
	int *counts)
{
	struct failures f = {rows, troubles, n, counts};

	return store_db_transaction(w, c->db, write_failures, &f);
}

static int is_deferred(const struct custody_job *job)
{
	return job->judgement.outcome == CUSTODY_DEFERRED;
}

static int is_failed(const struct custody_job *job)
{
	return !is_renewed(job) && !is_deferred(job);
}

static struct store_failed failed_row(const struct custody_job *job)
{
	const struct custody_judgement *j = &job->judgement;

	return (struct store_failed){
		.connection_id = job->claim.connection_id,
		.fence = job->claim.fence,
		.from = job->claim.generation,
		.state = j->state,
		.cause = j->cause,
		.wait_s = j->wait_s,
		.deferred_by = j->deferred_by,
		.refusals = j->refusals,
		.is_ambiguous = j->is_ambiguous,
		.was_asked = job->was_asked && job->answer.transport != OAUTH_TRANSPORT_NOT_SENT &&
			     job->answer.transport != OAUTH_TRANSPORT_CERTIFICATE,
		.code = job->outcome.code,
		.why = custody_why_name(job->why),
	};
}

static const char *reason_of(const struct custody_judgement *j)
{
	switch (j->outcome) {
	case CUSTODY_DEAD:
		return "the provider refuses the grant";
	case CUSTODY_AMBIGUOUS:
		return "the answer to a renewal was lost, and the refresh token may be spent";
	case CUSTODY_UNREADABLE:
		return "what is stored of the grant cannot be opened";
	case CUSTODY_REFUSED:
		return "the provider refused the grant once";
	case CUSTODY_RETRY:
		if (j->has_run_out)
			return "renewals fail, and the access token has run out";
		break;
	case CUSTODY_RENEWED:
	case CUSTODY_DEFERRED:
	case CUSTODY_APP:
	case CUSTODY_SUPERSEDED:
	case CUSTODY_BUSY:
	case CUSTODY_NOT_NEEDED:
	case CUSTODY_OUTCOME_COUNT:
		break;
	}
	return "the provider answers in a way that nothing explains";
}

static enum err settle_failed(
	struct work *w, const struct custody *c, struct custody_job *const *jobs, size_t n)
{
	struct store_failed rows[CUSTODY_SETTLE_MAX];
	struct custody_trouble trouble[CUSTODY_SETTLE_MAX];
	const struct custody_trouble *troubles[CUSTODY_SETTLE_MAX];
	int counts[CUSTODY_SETTLE_MAX];
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		const struct custody_judgement *j = &jobs[i]->judgement;

		if (!is_failed(jobs[i]))
			continue;
		rows[count] = failed_row(jobs[i]);
		trouble[count] = (struct custody_trouble){jobs[i]->claim.connection_id,
			jobs[i]->claim.client, jobs[i]->claim.provider, j->cause, reason_of(j),
			j->is_suspicion};
		troubles[count] = j->needs_incident || j->is_suspicion ? &trouble[count] : NULL;
		count++;
	}
	return count ? custody_settle_failed(w, c, rows, troubles, count, counts) : ERR_OK;
}

/* --- what was not asked ---------------------------------------------------------------------- */

static enum err settle_deferred(
	struct work *w, const struct custody *c, struct custody_job *const *jobs, size_t n)
{
	struct store_deferred rows[CUSTODY_SETTLE_MAX];
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		const struct custody_job *job = jobs[i];
		/* whoever asks out of turn does not move the turn */
		int is_scheduled = job->why == CUSTODY_WHY_DUE;

		if (is_deferred(job))
			rows[count++] = (struct store_deferred){job->claim.connection_id,
				job->claim.fence, is_scheduled ? job->judgement.wait_s : -1,
				is_scheduled ? job->judgement.deferred_by : NULL, !is_scheduled};
	}
	return count ? store_renewal_deferred(w, c->db, rows, count) : ERR_OK;
}

/* --- storms ---------------------------------------------------------------------------------- */

static int is_death(const struct custody_job *job)
{
	return job->stage == CUSTODY_JOB_DONE && job->judgement.is_death && !job->is_death_counted;
}

static int shares_lane(const struct custody_job *a, const struct custody_job *b)
{
	return a->lanes.provider == b->lanes.provider;
}

static void judge_again(struct custody_job *job)
{
	custody_judge(job->provider, &job->claim, &job->outcome, 1, &job->judgement);
}

/* Deaths of one lane are counted together, and judged again when there are too many of late. */
static enum err hold_storms(
	struct work *w, const struct custody *c, struct custody_job *const *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct store_gate_key key = {
			jobs[i]->claim.provider, jobs[i]->claim.datacenter, 0};
		int64_t deaths = 0;
		int is_storm = 0;
		enum err err;

		if (!is_death(jobs[i]))
			continue;
		for (size_t k = i; k < n; k++)
			deaths += is_death(jobs[k]) && shares_lane(jobs[i], jobs[k]);
		err = custody_lane_deaths(
			w, c, &key, jobs[i]->claim.provider_gate.id, deaths, &is_storm);
		if (err)
			return err;
		for (size_t k = n; k-- > i;)
			if (is_death(jobs[k]) && shares_lane(jobs[i], jobs[k])) {
				if (is_storm)
					judge_again(jobs[k]);
				jobs[k]->is_death_counted = 1;
			}
	}
	return ERR_OK;
}

enum err custody_settle_jobs(
	struct work *w, const struct custody *c, struct custody_job *const *jobs, size_t n)
{
	enum err err = settle_renewed(w, c, jobs, n);

	if (!err)
		err = hold_storms(w, c, jobs, n);
	if (!err)
		err = settle_failed(w, c, jobs, n);
	return err ? err : settle_deferred(w, c, jobs, n);
}
