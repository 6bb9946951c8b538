/* The list of faults. It decides how one reads, not what is one. */
#include "oauth/faults.h"

#include "base/text.h"

#include <string.h>

void oauth_faults_init(struct oauth_faults *faults, struct arena *arena)
{
	*faults = (struct oauth_faults){.arena = arena};
}

/* Adds what is whole but for its text. */
static void append(struct oauth_faults *faults, const char *file, struct oauth_fault fault)
{
	const char *at = fault.place.line ? arena_printf(faults->arena, ":%d:%d", fault.place.line,
						    fault.place.column)
					  : "";

	if (!fault.warning)
		faults->errors++;
	if (faults->count == OAUTH_FAULTS_MAX)
		return;
	fault.text = arena_printf(faults->arena, "%s%s%s%s: %s", file, at, fault.key ? ": " : "",
		fault.key ? fault.key : "", fault.reason);
	faults->list[faults->count++] = fault;
}

static void append_key(struct oauth_faults *faults, int warning, const char *file, const char *key,
	const char *reason)
{
	struct oauth_fault fault = {.key = key ? arena_strdup(faults->arena, key) : NULL,
		.reason = reason,
		.warning = warning};

	if (key && faults->source)
		fault.place = oauth_locate(faults->source, faults->source_n, key);
	append(faults, file, fault);
}

void oauth_faults_add_at(
	struct oauth_faults *faults, const char *file, struct oauth_spot place, const char *reason)
{
	append(faults, file,
		(struct oauth_fault){
			.place = place, .reason = arena_strdup(faults->arena, reason)});
}

int oauth_faults_concern(
	const struct oauth_faults *faults, size_t first, size_t end, const char *key)
{
	size_t n = strlen(key);

	for (size_t i = first; i < end; i++) {
		const char *at = faults->list[i].key;

		if (at && text_starts(at, key) && (!at[n] || at[n] == '.' || at[n] == '['))
			return 1;
	}
	return 0;
}

void oauth_faults_add(
	struct oauth_faults *faults, const char *file, const char *key, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	append_key(faults, 0, file, key, arena_vprintf(faults->arena, format, args));
	va_end(args);
}

void oauth_faults_warn(
	struct oauth_faults *faults, const char *file, const char *key, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	append_key(faults, 1, file, key, arena_vprintf(faults->arena, format, args));
	va_end(args);
}
