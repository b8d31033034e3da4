// Time. Wall time is milliseconds since 1970 UTC (struct timespec is never passed around); intervals and
// timeouts are taken from the monotonic clock only.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int64_t clock_wall_ms(void);
int64_t clock_mono_ms(void);
int64_t clock_boot_ms(void); // monotonic, and goes on while the machine sleeps: for how long something has waited

#define CLOCK_RFC3339_BYTES 32
// "2026-01-31T08:15:30.123Z"
void clock_format_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_BYTES]);
// RFC 3339 with any offset and 0 to 9 fractional digits; false if it is not one.
bool clock_parse_rfc3339(const char *text, size_t len_bytes, int64_t *wall_ms);

// AWS-style "full jitter": uniform in [0, min(max_ms, base_ms * 2^attempt)].
int64_t clock_backoff_ms(unsigned attempt, int64_t base_ms, int64_t max_ms);
