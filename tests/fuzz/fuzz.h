/* What a fuzz target is: the function libFuzzer calls, and what it needs of the source tree. */
#ifndef VESTAL_TESTS_FUZZ_FUZZ_H
#define VESTAL_TESTS_FUZZ_FUZZ_H

#include "oauth/provider.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Ends the program with a line that says what did not hold. */
#define FUZZ_MUST(holds)                                                                           \
	do {                                                                                       \
		if (!(holds))                                                                      \
			fuzz_broken(__FILE__, __LINE__, #holds);                                   \
	} while (0)
_Noreturn void fuzz_broken(const char *file, int line, const char *what);

/* The built-in definitions, and the secure heap and jansson made ready. Once; below $srcdir. */
struct oauth_providers *fuzz_start(void);

/* A path below the source tree. Owns: the caller. */
char *fuzz_source(const char *path);

#endif
