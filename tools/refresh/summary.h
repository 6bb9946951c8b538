/* What became of a run, told four ways: as an exit code, a table, a JSON document, and the counts
 * of the run's row. */
#ifndef VESTAL_REFRESH_SUMMARY_H
#define VESTAL_REFRESH_SUMMARY_H

#include "base/jout.h"
#include "ctl/out.h"
#include "custody/proof.h"
#include "custody/recover.h"
#include "custody/renew.h"
#include "custody/revoke.h"
#include "store/report.h"

#define REFRESH_EXIT_NEED_PERSON 2

struct refresh_result {
	int64_t id; /* of the run's row; 0: it has none */
	const char *mode, *host;
	int64_t began_ms, ended_ms; /* since 1970 */
	int64_t renewal_ms;         /* of it, until the last token was stored */
	int64_t due;                /* as many as were taken up; -1: not counted */
	int is_check;               /* found counts, and neither due nor counts */
	size_t found[CUSTODY_FOUND_COUNT];
	int64_t checked, unhealthy, remaining;
	size_t counts[CUSTODY_OUTCOME_COUNT];
	size_t distributed,
		behind; /* connections whose other stores were, or could not be, mended */
	struct custody_recovered recovered;
	struct custody_revoked revoked;
	struct store_need need;
	int is_need_known;
	int is_cut_short;
	enum err err;    /* what ended the run, or went wrong beside it */
	const char *why; /* the same for people */
};

/* 0: all is done or waits for a known while; 2: the same, and a person is needed; 1: it failed. */
int refresh_summary_exit_code(enum err err, const struct store_need *need);

/* How good the news of an outcome is, and whether the progress line counts it as a failure. */
enum ctl_tone refresh_summary_tone(enum custody_outcome outcome);
int refresh_summary_is_failure(enum custody_outcome outcome);

/* The same of what was found. */
enum ctl_tone refresh_summary_found_tone(enum custody_found found);
int refresh_summary_found_is_failure(enum custody_found found);

/* The table at the end, for a terminal. */
void refresh_summary_table(struct ctl_out *out, const struct refresh_result *result);

/* The members of the JSON document, its "connections" excepted; the object is open. */
void refresh_summary_json(struct jout *j, const struct refresh_result *result);

/* "needPerson": an object, or null while it is not known. */
void refresh_summary_need(struct jout *j, const struct store_need *need);

/* The object that the run's row keeps. Owns: the work. */
const char *refresh_summary_counts(struct work *w, const struct refresh_result *result);

#endif
