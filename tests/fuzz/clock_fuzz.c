// What parses is written as text that parses to the same time.
#include "common/clock.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	int64_t wall_ms, again_ms;
	char text[CLOCK_RFC3339_BYTES];
	if (clock_parse_rfc3339((const char *)data, len_bytes, &wall_ms)) {
		clock_format_rfc3339(wall_ms, text);
		// An offset can reach beyond the years 0000 and 9999; those are written as the nearest that can be.
		bool inside = wall_ms >= -62167219200000 && wall_ms <= 253402300799999;
		if (!clock_parse_rfc3339(text, strlen(text), &again_ms) || (inside && again_ms != wall_ms))
			abort();
	}
	if (len_bytes >= sizeof(wall_ms)) {
		memcpy(&wall_ms, data, sizeof(wall_ms));
		clock_format_rfc3339(wall_ms, text);
		if (!clock_parse_rfc3339(text, strlen(text), &again_ms))
			abort();
	}
	return 0;
}
