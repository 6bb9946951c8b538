/* A fuzz target without a fuzzer: every seed once, in TAP. The seeds of fuzz_X are in seeds/X. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED_MAX_BYTES ((size_t)1024 * 1024)

static size_t read_seed(const char *folder, const char *name, uint8_t *seed)
{
	char path[4096];
	FILE *file;
	size_t n;

	FUZZ_MUST((size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) < sizeof(path));
	file = fopen(path, "rbe");
	FUZZ_MUST(file);
	n = fread(seed, 1, SEED_MAX_BYTES, file);
	FUZZ_MUST(n < SEED_MAX_BYTES && feof(file));
	fclose(file);
	return n;
}

/* The seed's own memory, so that a byte read beyond its end is seen. */
static void run(const uint8_t *seed, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	FUZZ_MUST(copy);
	memcpy(copy, seed, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static int is_seed(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
	const char *name = argc ? strrchr(argv[0], '_') : NULL;
	uint8_t *seed = malloc(SEED_MAX_BYTES);
	struct dirent **entries = NULL;
	char *path, *folder;
	int n;

	FUZZ_MUST(name && seed && asprintf(&path, "tests/fuzz/seeds/%s", name + 1) > 0);
	folder = fuzz_source(path);
	n = scandir(folder, &entries, is_seed, alphasort);
	FUZZ_MUST(n > 0);
	printf("1..%d\n", n);
	for (int i = 0; i < n; i++) {
		run(seed, read_seed(folder, entries[i]->d_name, seed));
		/* and cut short, as the wire may */
		for (size_t cut = read_seed(folder, entries[i]->d_name, seed); cut > 0; cut /= 2)
			run(seed, cut / 2);
		printf("ok %d - %s\n", i + 1, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	free(path);
	free(folder);
	free(seed);
	return 0;
}
