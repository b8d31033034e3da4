// What a failure of libmosquitto or a refusal of the broker means. For common/mqtt.c only.
#pragma once

#include "common/error.h"

#include <stdbool.h>

// code: the library's MOSQ_ERR_ (below 0x80), with errno as it was at the call, or the broker's reason code (MQTT 5
// section 2.4). detail: what the library logged last, or "". doing: what failed. Always false.
bool mqtt_describe(struct error *error, int code, int saved_errno, const char *detail, const char *doing);
