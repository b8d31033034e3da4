// One message as it was taken in: parsed, or refused with the reason. The unit that is stored or quarantined.
#pragma once

#include "common/json.h"
#include "common/topic.h"
#include "ingest/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUARANTINE_PAYLOAD_MAX 4096     // bytes of the payload that a quarantine row shows
#define SEQ_MAX 9007199254740991LL      // 2^53 - 1: every JSON library can tell it from its neighbours
#define TS_MAX_MS (253402300800000LL - 1) // end of the year 9999

// Which message of which outbox, and when it was made.
struct stamp {
	const char *epoch; // NULL: none given
	int64_t seq;       // 0: none given
	int64_t ts_ms;
	bool numbered;     // epoch and seq are the sender's, so they count in the ledger
};

// Where a publisher wants to hear of the COMMIT (MQTT 5 response topic).
struct reply {
	const char *topic;
	const void *correlation; // NULL without
	size_t correlation_bytes;
};

struct kind;
struct hello;

struct message {
	const struct kind *kind; // NULL: not ours
	const char *device;      // NULL: the topic names none
	const char *topic;
	const char *detail;      // inventory kind
	const char *excerpt;     // first bytes of the payload
	size_t payload_bytes;    // of the whole
	int64_t received_ms;
	bool alive;              // a sign of life: neither a retained message redelivered nor a will
	const struct reply *reply; // NULL: the answer goes to the device's stored topic

	const char *refusal;     // why it goes to quarantine; NULL: it is stored
	bool foreign;            // refused because the device is unknown or disabled: no ledger, no state, no answer
	struct stamp *stamps;    // one a row; of a refused message those that could be read
	void *rows;              // count structs of the kind
	size_t count;
	const struct hello *hello; // NULL for anything else
};

// What a kind's parser gets.
struct input {
	const char *payload; // not NUL-terminated
	size_t payload_bytes;
	const char *detail; // inventory kind
	int64_t received_ms;
	bool retained;
};

// Reads epoch, seq and ts of an object. Without ts it is received_ms, unless the message is numbered. alone_ok: epoch
// may stand without seq (hello). On failure out still holds epoch and seq if they are sound.
bool stamp_parse(const struct json *object, int64_t received_ms, bool alone_ok, struct arena *arena,
		 struct stamp *out, struct error *error) must_check;
bool stamp_is_member(const char *name); // "epoch", "seq", "ts"

// For the kinds that are one JSON object with one row: parses it, makes the stamp and a row of row_bytes.
struct json *message_object(const struct input *in, bool alone_ok, size_t row_bytes, struct arena *arena,
			    struct message *out, struct error *error) must_check;
// Text of a new object with the members of object that skip does not name; "{}" when none are left.
const char *message_rest(const struct json *object, bool (*skip)(const char *name), struct arena *arena);

// Marks it for the quarantine. reason is copied, unprintable bytes as "?".
void message_refuse(struct message *message, struct arena *arena, const char *reason);
