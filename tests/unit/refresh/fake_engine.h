/*
 * The engine, played: what a run would meet of recovery and renewals is laid down, and what it was
 * asked for is kept. It stands in place of custody/renew.c, custody/recover.c and custody/revoke.c.
 */
#ifndef VESTAL_TESTS_UNIT_REFRESH_FAKE_ENGINE_H
#define VESTAL_TESTS_UNIT_REFRESH_FAKE_ENGINE_H

#include "custody/check.h"
#include "custody/recover.h"
#include "custody/renew.h"
#include "custody/revoke.h"

struct fake_engine {
	/* laid down */
	struct custody_recovered recovered;
	struct custody_revoked revoked;
	enum err recover_err, revoke_err, renew_err, check_err;
	const struct custody_finding *findings;
	size_t finding_count;
	int64_t total;                          /* of connections to check */
	const struct custody_renewal *renewals; /* how they end, one after the other */
	size_t n, distributed, not_distributed;
	/* kept */
	int recover_count, revoke_count, renew_count, check_count;
	int64_t revoke_until_ms;
	struct custody_run asked; /* as it came in */
	struct custody_check check;
};

/* Forgets everything. */
struct fake_engine *fake_engine_begin(void);

#endif
