#include "commander/broker.h"

#include <stdlib.h>
#include <string.h>

static const struct fact {
	const char *topic, *name;
	bool number; // its digits, without what follows them
} facts[BROKER_FACTS] = {
	{"$SYS/broker/version", "version", false},
	{"$SYS/broker/uptime", "uptime_s", true},
	{"$SYS/broker/clients/connected", "clients", true},
	{"$SYS/broker/clients/disconnected", "sessions_waiting", true},
	{"$SYS/broker/retained messages/count", "retained", true},
	{"$SYS/broker/store/messages/count", "stored", true},
	{"$SYS/broker/heap/current", "heap_bytes", true},
};

bool broker_subscribe(struct mqtt *mqtt, struct error *error)
{
	for (size_t i = 0; i < BROKER_FACTS; i++) {
		if (!mqtt_subscribe(mqtt, facts[i].topic, 0, error))
			return false;
	}
	return true;
}

bool broker_told(struct broker_report *report, const struct mqtt_message *message)
{
	for (size_t i = 0; i < BROKER_FACTS; i++) {
		if (strcmp(message->topic, facts[i].topic) != 0)
			continue;
		size_t bytes = message->payload_bytes < BROKER_TEXT_MAX ? message->payload_bytes : BROKER_TEXT_MAX;

		if (bytes > 0)
			memcpy(report->text[i], message->payload, bytes);
		report->text[i][bytes] = '\0';
		return true;
	}
	return false;
}

struct json *broker_facts(const struct broker_report *report)
{
	struct json *object = json_new_object();

	for (size_t i = 0; i < BROKER_FACTS; i++) {
		if (!report->text[i][0])
			continue;
		if (facts[i].number)
			json_set_int(object, facts[i].name, strtoll(report->text[i], NULL, 10));
		else
			json_set_string(object, facts[i].name, report->text[i]);
	}
	return object;
}
