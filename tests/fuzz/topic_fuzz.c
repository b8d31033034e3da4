// What parses builds the same topic again.
#include "common/topic.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	struct topic topic;
	if (!topic_parse((const char *)data, len_bytes, &topic)) {
		if (topic.kind != TOPIC_UNKNOWN)
			abort();
		return 0;
	}
	char again[TOPIC_MAX_BYTES];
	if (!topic_build(again, topic.kind, topic.principal, topic.detail[0] ? topic.detail : NULL) ||
	    strlen(again) != len_bytes || memcmp(again, data, len_bytes) != 0)
		abort();
	return 0;
}
