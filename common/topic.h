// The topic grammar (docs/protocol.md, "Topics"): the only place that builds a topic or takes one apart.
#pragma once

#include "common/cleanup.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stddef.h>

enum topic_kind {
	TOPIC_UNKNOWN = 0, // not in the grammar; sender's mistake
	// fleet/v1/<device>/...
	TOPIC_STATUS,
	TOPIC_TELEMETRY,
	TOPIC_EVENT,
	TOPIC_INVENTORY, // detail: hardware | network | services | software
	TOPIC_RESULT,
	TOPIC_STREAM,    // detail: stream id
	TOPIC_CSR,
	TOPIC_STORED,
	TOPIC_COMMAND,
	TOPIC_CONFIG,
	TOPIC_CERTIFICATE,
	TOPIC_LIMIT,     // from the broker itself
	// ops/v1/<operator>/...
	TOPIC_REQUEST,
	TOPIC_REPLY,
};

struct topic {
	enum topic_kind kind;
	char principal[PRINCIPAL_MAX]; // device id, or "op.<name>" for ops topics
	char detail[STREAM_ID_MAX + 1];
};

// False (and kind TOPIC_UNKNOWN) for whatever the grammar does not hold. Never reads past len_bytes.
bool topic_parse(const char *text, size_t len_bytes, struct topic *out) must_check;

// Writes the topic of this kind for principal; detail is needed for INVENTORY and STREAM, NULL otherwise. A stream
// id is shaped like a device id. principal may be "+" to make a subscription filter, and with it detail too. False if
// an argument is outside the grammar.
bool topic_build(char out[TOPIC_MAX_BYTES], enum topic_kind kind, const char *principal, const char *detail)
	must_check;

// Puts filter into the shared subscription of group (MQTT 5 section 4.8.2), which is named like a device.
bool topic_share(char out[TOPIC_MAX_BYTES], const char *group, const char *filter) must_check;

// [a-z0-9][a-z0-9-]{0,62}
bool topic_is_device_id(const char *text);
// "svc.", or for an operator "op.", followed by a device-id-shaped name
bool topic_is_service(const char *text);
bool topic_is_operator(const char *text);

// May a message of device ask for its acknowledgement on this MQTT 5 response topic? Its own stored topic, or, for a
// service that speaks for it, any name below svc/v1/<service>/. Never a wildcard.
bool topic_is_response(const char *text, const char *device);

bool topic_is_service_response(const char *text); // the latter
// Writes the response topic "svc/v1/<service>/<name>"; name is shaped like a device id.
bool topic_response(char out[TOPIC_MAX_BYTES], const char *service, const char *name) must_check;

const char *topic_kind_name(enum topic_kind kind); // "telemetry"

#define TOPIC_CONTROL "$CONTROL/muster/v1"      // commander to guard
#define TOPIC_REVOCATIONS "guard/v1/revocations" // guard to commander
// The user property, the last of a message, in which the guard says from which address an event of a device came.
#define TOPIC_PEER_PROPERTY "peer"
