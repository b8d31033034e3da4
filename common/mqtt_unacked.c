#include "common/mqtt_unacked.h"

#include <stdlib.h>

#define MIDS 65536 // packet identifiers, MQTT 5 section 2.2.1

bool mqtt_unacked_init(struct mqtt_unacked *unacked, size_t count_max, size_t bytes_max, struct error *error)
{
	*unacked = (struct mqtt_unacked){.count_max = count_max, .bytes_max = bytes_max};
	unacked->by_mid = calloc(MIDS, sizeof(*unacked->by_mid));
	return unacked->by_mid || error_set(error, ERROR_FAILED, "out of memory");
}

void mqtt_unacked_done(struct mqtt_unacked *unacked)
{
	free(unacked->by_mid);
	*unacked = (struct mqtt_unacked){0};
}

bool mqtt_unacked_has_room(const struct mqtt_unacked *unacked, size_t payload_bytes)
{
	return unacked->count < unacked->count_max && payload_bytes <= unacked->bytes_max - unacked->bytes;
}

void mqtt_unacked_sent(struct mqtt_unacked *unacked, int mid, size_t payload_bytes)
{
	if (mid <= 0 || mid >= MIDS || unacked->by_mid[mid] || !mqtt_unacked_has_room(unacked, payload_bytes))
		return;
	unacked->by_mid[mid] = (uint32_t)payload_bytes + 1;
	unacked->count++;
	unacked->bytes += payload_bytes;
}

void mqtt_unacked_heard(struct mqtt_unacked *unacked, int mid)
{
	if (mid <= 0 || mid >= MIDS || !unacked->by_mid[mid])
		return;
	unacked->count--;
	unacked->bytes -= unacked->by_mid[mid] - 1;
	unacked->by_mid[mid] = 0;
}
