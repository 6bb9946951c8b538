/* The list of faults. It decides how one reads, not what is one. */
#include "oauth/faults.h"

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
		warning,
	};
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
