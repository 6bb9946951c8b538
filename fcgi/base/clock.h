/* The two clocks. Expiry and order are decided by the database's clock; these are for deadlines and
 * for what is shown. */
#ifndef VESTAL_BASE_CLOCK_H
#define VESTAL_BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds on a clock that never jumps; its origin means nothing. */
int64_t clock_monotonic_ms(void);

/* Milliseconds since 1970, UTC. */
int64_t clock_wall_ms(void);

#define CLOCK_TEXT_BYTES 32

/* Writes wall_ms as RFC 3339 in UTC with milliseconds, "2026-01-31T12:00:00.000Z". Returns text. */
const char *clock_text(int64_t wall_ms, char text[CLOCK_TEXT_BYTES]);

/* Reads a text as clock_text() writes it; whole seconds will do. Returns whether it is one. */
int clock_read(const char *text, int64_t *wall_ms);

#endif
