/*
 * One unit of work: a request, a renewal, a command. It owns everything that ends with it (memory,
 * handles, secrets), knows who asked and how much time is left, and keeps what went wrong.
 */
#ifndef VESTAL_BASE_WORK_H
#define VESTAL_BASE_WORK_H

#include "base/arena.h"
#include "base/err.h"

#include <stdint.h>

#define WORK_CEILING_BYTES ((size_t)64 * 1024 * 1024)
#define WORK_FIELD_FAULTS_MAX 32
#define WORK_TOLD_MAX 4

/* Who asked, as the audit trail records it. Texts live at least as long as the unit of work; any
 * may be NULL. */
struct origin {
	const char *actor;      /* a name: "key:<id>", "system:refresh", "operator:root" */
	const char *actor_auth; /* how he proved it: "api_key", "state", "peer" */
	const char *address;    /* where he came from */
	const char *user_agent;
	const char *request_id; /* never NULL once the work began */
};

/* One bad field of the input. */
struct field_fault {
	const char *field, *reason;
};

/* A word of an answer that a program reads besides the detail: the fingerprint of an account. */
struct told {
	const char *name, *value;
};

struct work_cleanup;

struct work {
	struct arena arena;
	struct work_cleanup *cleanups;
	struct origin origin;
	int64_t deadline_ms; /* on the monotonic clock */
	const char *detail;  /* for the caller: no provider text, SQL, path or secret */
	const char *cause;   /* for our log: a closed word or a code, no secret either */
	struct field_fault faults[WORK_FIELD_FAULTS_MAX];
	size_t fault_count;
	struct told told[WORK_TOLD_MAX]; /* members of the problem answer */
	size_t told_count;
	unsigned retry_after_s; /* for answers that say when to come back; 0: not said */
};

/* Begins a unit of work that has budget_ms to end. */
void work_begin(struct work *w, int64_t budget_ms);

/* Releases everything it owns, the newest first, and wipes its memory. Harmless on one that ended
 * already. */
void work_end(struct work *w);

/* Milliseconds left until the deadline, never below 0. */
int64_t work_left_ms(const struct work *w);

/* Has release(handle) called when the work ends. */
void work_defer(struct work *w, void (*release)(void *handle), void *handle);

/* Memory of the work; see base/arena.h. */
void *work_alloc(struct work *w, size_t n) __attribute__((returns_nonnull, malloc, alloc_size(2)));
char *work_strdup(struct work *w, const char *text);
char *work_printf(struct work *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Records what the caller may read about an error, and returns the error: return work_fail(w,
 * ERR_X, "..."). The first detail stays: it was written where the fault was seen.
 */
enum err work_fail(struct work *w, enum err err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Records a fault of one input field. Returns ERR_INPUT. */
enum err work_fail_field(struct work *w, const char *field, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Records a member of the problem answer; the name is a literal. More than WORK_TOLD_MAX are left
 * out. */
void work_tell(struct work *w, const char *name, const char *value);

/* Records, for our log only, why: a closed word or a code. Returns err. */
enum err work_cause(struct work *w, enum err err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Hands on why a part of the work, which is about to end, failed. Nothing when err is ERR_OK.
 * Returns err. */
enum err work_cause_of(struct work *w, enum err err, const struct work *part);

/* Forgets a recorded error, when a unit of work goes on by another way. */
void work_forgive(struct work *w);

#endif
