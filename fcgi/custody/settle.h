/* From what jobs brought to what the database holds: one commit for many, each over its own
 * generation. */
#ifndef VESTAL_CUSTODY_SETTLE_H
#define VESTAL_CUSTODY_SETTLE_H

#include "custody/job.h"
#include "custody/trouble.h"

#define CUSTODY_SETTLE_MAX 128

/* Seals tokens for their places and stores them; settled[i] says what became of fresh[i]. n is at
 * most CUSTODY_SETTLE_MAX. Returns the database's errors, ERR_KEY_UNKNOWN. */
enum err custody_settle_fresh(struct work *w, const struct custody *c,
	const struct custody_fresh *const *fresh, size_t n, enum store_settled *settled) MUST_CHECK;

/*
 * The same, sent ahead: jobs that were renewed, and are DONE, are SETTLING, as many as one commit
 * takes. Then, once, what became of them: they are DONE again, job->settled is the answer. Returns
 * as custody_settle_fresh(); whatever was written then can be written again.
 */
enum err custody_settle_send(struct work *w, const struct custody *c,
	struct custody_job *const *jobs, size_t n, size_t *sent) MUST_CHECK;
enum err custody_settle_fetch(struct work *w, const struct custody *c,
	struct custody_job *const *jobs, size_t n) MUST_CHECK;

/*
 * Writes jobs that are DONE, each kind in one commit: job->settled or job->counts is the answer.
 * Refusals that come in a storm are held back here. Returns the database's errors; whatever was
 * written then can be written again.
 */
enum err custody_settle_jobs(struct work *w, const struct custody *c,
	struct custody_job *const *jobs, size_t n) MUST_CHECK;

/* Writes failures, with the incidents of those that need one. counts[i] as store_renewal_failed().
 */
enum err custody_settle_failed(struct work *w, const struct custody *c,
	const struct store_failed *rows, const struct custody_trouble *const *troubles, size_t n,
	int *counts) MUST_CHECK;

#endif
