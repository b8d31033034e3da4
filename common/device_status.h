// What a device says on its status topic (docs/protocol.md, section 2): that it is there, that it goes, and its will.
#pragma once

#include "common/mqtt.h"
#include "common/topic.h"

// publish points into the rest: not to be copied.
struct device_status {
	char topic[TOPIC_MAX_BYTES], session[24];
	struct mqtt_property properties[2];
	struct mqtt_publish publish; // retained, QoS 1
};

// text: "online" or "offline". session: the number of the connection, by which the server can tell which one it is
// about. why: "will", "goodbye" or "sleep" (it will be back at its next heartbeat); NULL leaves it out. The strings
// stay the caller's. False when device is no device id.
bool device_status_make(const char *device, int64_t session, const char *text, const char *why,
			struct device_status *out) must_check;
