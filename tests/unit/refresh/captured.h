/* Standard output, caught in a file while a test lets something write there. */
#ifndef VESTAL_TESTS_UNIT_REFRESH_CAPTURED_H
#define VESTAL_TESTS_UNIT_REFRESH_CAPTURED_H

#include "base/work.h"

/* From now on descriptor 1 is a file, or what path names (NULL: a file without a name). */
void captured_begin(const char *path);

/* Gives descriptor 1 back; what the file without a name holds. Owns: the work. */
char *captured_end(struct work *w);

#endif
