#include "common/mqtt.h"

#include <string.h>

const char *mqtt_property(const struct mqtt_message *message, const char *name)
{
	for (size_t i = 0; i < message->property_count; i++)
		if (strcmp(message->properties[i].name, name) == 0)
			return message->properties[i].value;
	return NULL;
}

const char *mqtt_last_property(const struct mqtt_message *message, const char *name)
{
	const struct mqtt_property *last;

	if (message->property_count == 0)
		return NULL;
	last = &message->properties[message->property_count - 1];
	return strcmp(last->name, name) == 0 ? last->value : NULL;
}
