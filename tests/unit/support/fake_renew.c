/* The engine of renewals without a provider. */
#include "fake_renew.h"

#include "custody/recover.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define CALLS_MAX 8

struct custody_renewer {
	int is_there;
};

struct answer {
	enum err err;
	enum custody_outcome outcome;
};

const struct custody_places fake_renew_places = {.away = 3, .renewing = 2, .waiting = 1};

static struct custody_renewer renewer;
static struct service *service;
static struct answer answers[CALLS_MAX];
static struct fake_renew_call calls[CALLS_MAX];
static size_t answer_count, call_count;
static void (*on_call)(struct service *s), (*on_recovery)(struct service *s);
static enum err recovery_err;
static size_t recovery_spools;

int fake_renew_begin(void **state)
{
	int failed = service_begin(state);

	service = *state;
	service->c.renewer = &renewer;
	service->conf.number[CONF_lease_s] = 60;
	answer_count = call_count = 0;
	on_call = NULL;
	fake_renew_recovery(ERR_OK, 0, NULL);
	fake_renew_look((struct fake_look){0});
	FAKE_DB_ROW(STMT_REPORT_ONE, "expired", "none");
	return failed;
}

void fake_renew_answer(enum err err, enum custody_outcome outcome)
{
	assert_true(answer_count < CALLS_MAX);
	answers[answer_count++] = (struct answer){err, outcome};
}

void fake_renew_on_call(void (*fn)(struct service *s))
{
	on_call = fn;
}

void fake_renew_recovery(enum err err, size_t spools, void (*fn)(struct service *s))
{
	recovery_err = err;
	recovery_spools = spools;
	on_recovery = fn;
}

size_t fake_renew_count(void)
{
	return call_count;
}

const struct fake_renew_call *fake_renew_call(size_t which)
{
	assert_true(which < call_count);
	return &calls[which];
}

void fake_renew_look(struct fake_look look)
{
	fake_db_no_rows(STMT_RENEWAL_LOOK);
	FAKE_DB_ROW(STMT_RENEWAL_LOOK, look.generation ? look.generation : "7",
		look.state ? look.state : "live", "none", look.lease_left_s ? "t" : "f",
		look.lease_left_s, look.next_in_s, look.deferred_by, look.is_stuck ? "f" : "t", "0",
		look.gate_cause, "0");
}

const char *fake_renew_place(struct service *s, const char *name)
{
	const char *folder = work_printf(&s->w, "%s/places", conf_text(&s->conf, CONF_runtime_dir));

	mkdir(folder, 0700);
	return work_printf(&s->w, "%s/%s", folder, name);
}

int fake_renew_take(struct service *s, const char *name)
{
	int fd = open(fake_renew_place(s, name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return flock(fd, LOCK_EX | LOCK_NB) == 0 ? fd : (close(fd), -1);
}

void fake_renew_age(int fd)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = 1000000000}};

	assert_int_equal(futimens(fd, times), 0);
}

/* --- custody/recover.h ------------------------------------------------------------------------ */

enum err custody_recover(
	struct work *w, const struct custody *c, struct custody_recovered *recovered)
{
	assert_ptr_equal(c, &service->c);
	*recovered = (struct custody_recovered){.spools = recovery_spools};
	if (on_recovery)
		on_recovery(service);
	return recovery_err ? work_fail(w, recovery_err, "a detail of the engine's") : ERR_OK;
}

/* --- custody/renew.h -------------------------------------------------------------------------- */

enum err custody_renew_one(struct work *w, const struct custody *c, int64_t connection_id,
	enum custody_why why, int64_t generation, struct custody_renewal *renewal)
{
	const struct answer *answer =
		&answers[call_count < answer_count ? call_count : answer_count - 1];

	assert_ptr_equal(c, &service->c);
	if (!answer_count || call_count == CALLS_MAX)
		fail_msg("the engine is asked");
	calls[call_count++] = (struct fake_renew_call){connection_id, generation, why};
	if (on_call)
		on_call(service);
	/* what is noted on the way is nobody's answer */
	work_cause(w, ERR_IO, "http 500");
	work_fail(w, ERR_IO, "a detail of the engine's");
	if (answer->err)
		return answer->err;
	*renewal = (struct custody_renewal){.connection_id = connection_id,
		.generation = generation,
		.client = "acme",
		.provider = "zoho_crm",
		.outcome = answer->outcome,
		.cause = "none",
		.code = "",
		.wait_s = -1};
	return ERR_OK;
}
