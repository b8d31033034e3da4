// What the broker says of itself in $SYS, which Mosquitto publishes every sys_interval seconds; another broker may not,
// and then nothing is known.
#pragma once

#include "common/json.h"
#include "common/mqtt.h"

#include <stdbool.h>

enum { BROKER_FACTS = 7, BROKER_TEXT_MAX = 63 };

struct broker_report {
	char text[BROKER_FACTS][BROKER_TEXT_MAX + 1]; // as said; "": not yet
};

bool broker_subscribe(struct mqtt *mqtt, struct error *error) must_check;
// False: the message is about something else.
bool broker_told(struct broker_report *report, const struct mqtt_message *message);
// An object with a member for each fact that is known.
struct json *broker_facts(const struct broker_report *report);
