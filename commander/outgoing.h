// MQTT messages that wait for COMMIT. Nothing is published before the database holds what it says.
#pragma once

#include "common/mqtt.h"

#include <stdbool.h>
#include <stddef.h>

#define OUTGOING_MAX 20000 // a batch of commands and replies, or the replies kept while the broker is away

struct outgoing_message {
	const char *topic; // these four belong to the caller, or to the list once they are in it
	const char *payload;
	const void *correlation;
	size_t correlation_bytes;
	const char *request_id;
	bool keep; // a reply: kept while the broker is away; a command is published again anyway
};

struct outgoing {
	struct outgoing_message *messages;
	size_t count, capacity;
	size_t committed; // the first so many may be published
};

void outgoing_done(struct outgoing *outgoing);
// Copies everything. False when memory ran out or OUTGOING_MAX is reached. topic and payload are needed.
bool outgoing_add(struct outgoing *outgoing, const struct outgoing_message *message);
void outgoing_commit(struct outgoing *outgoing);   // everything added may be published
void outgoing_rollback(struct outgoing *outgoing); // forgets what was added since the last commit
enum outgoing_fate {
	OUTGOING_PUBLISHED,
	OUTGOING_WAITS,	  // there is no connection, or no room
	OUTGOING_REFUSED, // no broker would take it: it goes, even if it is to be kept
};
// Hands what is committed to publish, in order, and forgets it; with connected false, forgets all but what is to be
// kept. publish is mqtt_publish in the program. Returns how many were published; *lost counts replies that waited and
// could not be kept.
size_t outgoing_flush(struct outgoing *outgoing, bool connected,
		      enum outgoing_fate (*publish)(void *user, const struct outgoing_message *message), void *user,
		      size_t *lost);
