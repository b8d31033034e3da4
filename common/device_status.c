#include "common/device_status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool device_status_make(const char *device, int64_t session, const char *text, const char *why,
			struct device_status *out)
{
	(void)snprintf(out->session, sizeof(out->session), "%" PRId64, session);
	out->properties[0] = (struct mqtt_property){"session", out->session};
	out->properties[1] = (struct mqtt_property){"why", why};
	out->publish = (struct mqtt_publish){
		.topic = out->topic,
		.payload = text,
		.payload_bytes = strlen(text),
		.qos = 1,
		.retain = true,
		.properties = out->properties,
		.property_count = why ? 2 : 1,
	};
	return topic_build(out->topic, TOPIC_STATUS, device, NULL);
}
