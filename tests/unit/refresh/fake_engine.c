/* The engine, played. */
#include "fake_engine.h"

#include <string.h>

static struct fake_engine fake;

struct fake_engine *fake_engine_begin(void)
{
	fake = (struct fake_engine){.renewals = NULL};
	return &fake;
}

const char *custody_outcome_name(enum custody_outcome outcome)
{
	static const char *const names[CUSTODY_OUTCOME_COUNT] = {"renewed", "deferred", "retry",
		"refused", "dead", "ambiguous", "app", "unreadable", "superseded", "busy",
		"not_needed"};

	return names[outcome];
}

enum err custody_recover(
	struct work *w, const struct custody *c, struct custody_recovered *recovered)
{
	(void)c;
	fake.recover_count++;
	*recovered = fake.recovered;
	return fake.recover_err ? work_cause(w, fake.recover_err, "played") : ERR_OK;
}

enum err custody_revoke_pending(struct work *w, const struct custody *c, int64_t until_ms,
	const volatile sig_atomic_t *stop, struct custody_revoked *revoked)
{
	(void)c;
	(void)stop;
	fake.revoke_count++;
	fake.revoke_until_ms = until_ms;
	*revoked = fake.revoked;
	return fake.revoke_err ? work_cause(w, fake.revoke_err, "played") : ERR_OK;
}

enum err custody_renew_run(struct work *w, const struct custody *c, struct custody_run *run)
{
	(void)c;
	fake.renew_count++;
	fake.asked = *run;
	for (size_t i = 0; i < fake.n; i++) {
		if (run->stop && *run->stop) {
			run->is_cut_short = 1;
			break;
		}
		run->counts[fake.renewals[i].outcome]++;
		run->each(run->context, &fake.renewals[i]);
	}
	run->distributed = fake.distributed;
	run->not_distributed = fake.not_distributed;
	return fake.renew_err ? work_cause(w, fake.renew_err, "played") : ERR_OK;
}

const char *custody_found_name(enum custody_found found)
{
	static const char *const names[CUSTODY_FOUND_COUNT] = {"proved", "renewed", "scope",
		"throttled", "unanswered", "shut", "fault", "app", "refused", "dead", "unreadable",
		"expired", "by_row"};

	return names[found];
}

enum err custody_check(struct work *w, const struct custody *c, struct custody_check *check)
{
	(void)c;
	fake.check_count++;
	fake.check = *check;
	check->total = fake.total;
	for (size_t i = 0; i < fake.finding_count; i++) {
		check->checked++;
		check->counts[fake.findings[i].found]++;
		check->unhealthy += strcmp(fake.findings[i].status, "healthy") != 0;
		check->each(check->context, &fake.findings[i]);
	}
	return fake.check_err ? work_cause(w, fake.check_err, "played") : ERR_OK;
}
