/* What the fuzz targets share. */
#include "fuzz.h"

#include "base/jin.h"
#include "base/secret.h"

#include <stdio.h>
#include <stdlib.h>

void fuzz_broken(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

char *fuzz_source(const char *path)
{
	const char *srcdir = getenv("srcdir");
	char *whole = NULL;

	FUZZ_MUST(asprintf(&whole, "%s/%s", srcdir ? srcdir : ".", path) > 0);
	return whole;
}

struct oauth_providers *fuzz_start(void)
{
	static struct oauth_providers *providers;
	static struct arena arena;
	struct oauth_faults faults;
	char *folder;
	int locked;

	if (providers)
		return providers;
	FUZZ_MUST(secret_init(1 << 20, &locked) == ERR_OK);
	jin_init();
	arena_init(&arena, (size_t)16 * 1024 * 1024);
	oauth_faults_init(&faults, &arena);
	folder = fuzz_source("fcgi/oauth/providers");
	providers = oauth_providers_load(&arena, folder, NULL, 300, &faults);
	FUZZ_MUST(providers);
	free(folder);
	return providers;
}
