/* The reasons of a refusal, read from the row once it is over. It decides when it is worth to come
 * back. */
#include "custody/refusal.h"

#include "base/text.h"
#include "store/report.h"

#define BUSY_S 2   /* a renewal is on its way */
#define TRIED_S 30 /* a reader may have it tried again so soon */
#define MOST_S 600

struct reason {
	const char *deferred_by, *what;
	int64_t most_s;
};

#define QUOTA "The provider's quota of renewals is used up for now."

/* who asks out of turn leaves no trace of it in the row */
static const struct reason quota = {"quota", QUOTA, MOST_S};
static const struct reason busy = {NULL, "It is being renewed, or about to be.", BUSY_S};
static const struct reason doubt = {
	NULL, "It is in doubt until the refresher has tried it.", TRIED_S};
static const struct reason gate = {
	"gate", "The provider or the app is in trouble, and asked again later.", TRIED_S};
static const struct reason lately = {NULL, "The last try was a moment ago.", TRIED_S};

static const struct reason *reason_of(const struct custody_refusal *refusal)
{
	static const struct reason deferrals[] = {
		{"quota", QUOTA, MOST_S},
		{"rate", "The provider asked for patience.", MOST_S},
		{"refusal", "The provider refused once; it is asked again to be sure.", MOST_S},
		{"backoff", "The last try failed.", TRIED_S},
	};
	const struct store_look *look = &refusal->look;

	if (refusal->quota_s)
		return &quota;
	if (look->is_leased)
		return &busy;
	if (text_equal(refusal->status, "quarantined"))
		return &doubt;
	if (look->gate_cause || text_equal(look->deferred_by, gate.deferred_by))
		return &gate;
	for (size_t i = 0; i < sizeof(deferrals) / sizeof(*deferrals); i++)
		if (text_equal(look->deferred_by, deferrals[i].deferred_by))
			return &deferrals[i];
	return refusal->was_busy ? &busy : &lately;
}

static unsigned within(int64_t wait_s, int64_t most_s)
{
	return (unsigned)(wait_s < 1 || wait_s > most_s ? most_s : wait_s);
}

static void judge(struct custody_refusal *refusal)
{
	const struct reason *reason = reason_of(refusal);

	/* What nothing here can renew, no waiting mends; what is quarantined has a try coming. */
	refusal->needs_person = text_equal(refusal->status, "missing") ||
				text_equal(refusal->status, "invalid") ||
				(!refusal->look.is_renewable && reason != &doubt);
	refusal->retry_after_s = within(reason == &quota      ? refusal->quota_s
					: reason->deferred_by ? refusal->look.next_in_s
							      : 0,
		reason->most_s);
	refusal->what = reason->what;
}

enum err custody_refusal_read(
	struct work *w, const struct custody *c, struct custody_refusal *refusal)
{
	enum err err = store_report_one(
		w, c->db, refusal->connection_id, &refusal->status, &refusal->cause);

	if (!err)
		err = store_renewal_look(w, c->db, refusal->connection_id, &refusal->look);
	if (!err)
		judge(refusal);
	return err;
}

enum err custody_refusal_of_person(struct work *w, const struct custody_refusal *refusal)
{
	return work_fail(w, ERR_REAUTHORIZATION_REQUIRED,
		"The connection is %s (%s): an administrator has to authorize it again.",
		refusal->status, refusal->cause);
}
