/* The unit of work's life. It decides the order of release; it does not know what it releases. */
#include "base/work.h"

#include "base/clock.h"

#include <string.h>

struct work_cleanup {
	struct work_cleanup *next;
	void (*release)(void *handle);
	void *handle;
};

void work_begin(struct work *w, int64_t budget_ms)
{
	memset(w, 0, sizeof(*w));
	arena_init(&w->arena, WORK_CEILING_BYTES);
	w->deadline_ms = clock_monotonic_ms() + budget_ms;
	w->origin.request_id = "";
}

void work_end(struct work *w)
{
	while (w->cleanups) {
		struct work_cleanup *cleanup = w->cleanups;

		w->cleanups = cleanup->next;
		cleanup->release(cleanup->handle);
	}
	arena_wipe(&w->arena);
	memset(&w->origin, 0, sizeof(w->origin));
	work_forgive(w);
}

int64_t work_left_ms(const struct work *w)
{
	int64_t left = w->deadline_ms - clock_monotonic_ms();

	return left > 0 ? left : 0;
}

void work_defer(struct work *w, void (*release)(void *handle), void *handle)
{
	struct work_cleanup *cleanup = work_alloc(w, sizeof(*cleanup));

	*cleanup = (struct work_cleanup){w->cleanups, release, handle};
	w->cleanups = cleanup;
}

void *work_alloc(struct work *w, size_t n)
{
	return arena_alloc(&w->arena, n);
}

char *work_strdup(struct work *w, const char *text)
{
	return arena_strdup(&w->arena, text);
}

char *work_printf(struct work *w, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = arena_vprintf(&w->arena, format, args);
	va_end(args);
	return text;
}

enum err work_fail(struct work *w, enum err err, const char *format, ...)
{
	va_list args;

	if (w->detail)
		return err;
	va_start(args, format);
	w->detail = arena_vprintf(&w->arena, format, args);
	va_end(args);
	return err;
}

enum err work_fail_field(struct work *w, const char *field, const char *format, ...)
{
	va_list args;

	if (w->fault_count == WORK_FIELD_FAULTS_MAX)
		return ERR_INPUT;
	va_start(args, format);
	w->faults[w->fault_count++] =
		(struct field_fault){work_strdup(w, field), arena_vprintf(&w->arena, format, args)};
	va_end(args);
	return ERR_INPUT;
}

void work_tell(struct work *w, const char *name, const char *value)
{
	if (w->told_count < WORK_TOLD_MAX)
		w->told[w->told_count++] = (struct told){name, work_strdup(w, value)};
}

enum err work_cause(struct work *w, enum err err, const char *format, ...)
{
	va_list args;

	if (w->cause)
		return err;
	va_start(args, format);
	w->cause = arena_vprintf(&w->arena, format, args);
	va_end(args);
	return err;
}

enum err work_cause_of(struct work *w, enum err err, const struct work *part)
{
	if (!err)
		return ERR_OK;
	if (part->retry_after_s > w->retry_after_s)
		w->retry_after_s = part->retry_after_s;
	return work_cause(w, err, "%s", part->cause ? part->cause : "");
}

void work_forgive(struct work *w)
{
	w->detail = NULL;
	w->cause = NULL;
	w->fault_count = 0;
	w->told_count = 0;
	w->retry_after_s = 0;
}
