/* The list of faults. It decides how one reads, not what is one. */
#include "oauth/faults.h"

#include "base/text.h"

#include <string.h>

void oauth_faults_init(struct oauth_faults *faults, struct arena *arena)
{
	*faults = (struct oauth_faults){.arena = arena};
}

static void append(struct oauth_faults *faults, int warning, const char *file, const char *key,
	const char *reason)
{
	const char *colon = key ? ": " : "";

	if (!warning)
		faults->errors++;
	if (faults->count == OAUTH_FAULTS_MAX)
		return;
	faults->list[faults->count++] = (struct oauth_fault){
		arena_printf(faults->arena, "%s%s%s: %s", file, colon, key ? key : "", reason),
		key ? arena_strdup(faults->arena, key) : NULL,
		warning,
	};
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
	append(faults, 0, file, key, arena_vprintf(faults->arena, format, args));
	va_end(args);
}

void oauth_faults_warn(
	struct oauth_faults *faults, const char *file, const char *key, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	append(faults, 1, file, key, arena_vprintf(faults->arena, format, args));
	va_end(args);
}
