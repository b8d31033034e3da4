// Operators' requests over MQTT (docs/protocol.md, section 9).
//
// A request is acknowledged after it was committed: until then it waits in the inbox, and so does its PUBACK. A request
// that names itself (`request`, or MQTT 5 correlation data) gets a command id made from that and its content, so that
// the same message delivered twice makes one command; one that does not may run twice after a crash at the wrong
// moment, as MQTT's QoS 1 says.
#pragma once

#include "common/command_request.h"
#include "common/crypto.h"
#include "common/limits.h"
#include "common/mqtt.h"

#include <stdbool.h>
#include <stddef.h>

#define OPERATOR_REQUEST_MAX 64 // bytes of `request`
#define OPERATOR_CORRELATION_MAX 1024
#define OPERATOR_INBOX_MAX 200 // requests in one transaction; the broker keeps the rest

struct operator_request {
	char operator[PRINCIPAL_MAX];
	char reply_topic[TOPIC_MAX_BYTES];
	void *correlation; // owned
	size_t correlation_bytes;

	char id[UUID_TEXT_BYTES];
	struct command_request ask;
	char cancel[UUID_TEXT_BYTES];	     // instead: the command to be cancelled; "" without
	char name[OPERATOR_REQUEST_MAX + 1]; // `request`; "" without

	bool refused; // and why; nothing else but the reply topic, correlation and name is set then
	struct refusal refusal;
};

struct operator_inbox {
	struct operator_request requests[OPERATOR_INBOX_MAX];
	size_t count;
};

// Takes one message on ops/v1/<operator>/request apart. False when there is nobody to answer: the topic is not an
// operator's. Otherwise out is filled (and must be operator_request_done'd), perhaps as refused.
bool operator_parse(const struct mqtt_message *message, struct operator_request *out) must_check;
void operator_request_done(struct operator_request *request);

void operator_inbox_clear(struct operator_inbox *inbox);

struct commander;
// Inside the transaction: stores the inbox, with refusals as replies. The inbox is cleared after COMMIT.
bool operator_run(struct commander *commander, struct error *error) must_check;
