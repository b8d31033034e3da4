// One message as it was taken in: parsed, or refused with the reason. The unit that is stored or quarantined.
#pragma once

#include "common/json.h"
#include "common/topic.h"
#include "ingest/arena.h"
#include "ingest/flat.h"

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
	int64_t ts_ms;       // as sent
	int64_t measured_ms; // when it was made, as far as can be told: see message_measure
	bool numbered;     // epoch and seq are the sender's, so they count in the ledger
	bool again;        // it was stored before (repetition_find): there is nothing to do for it
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
	int64_t age_ms; // how long its newest row had waited when it was sent (user property "age-ms"); 0: unknown
	bool alive;              // a sign of life: neither a retained message redelivered nor a will
	const struct reply *reply; // NULL: the answer goes to the device's stored topic
	const struct reply *receipt; // instead of any other answer: a service wants to know of this very message

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
	const char *device;
	const char *detail; // inventory kind
	int64_t received_ms;
	bool retained;
	const char *session, *why; // user properties; NULL without
	const char *peer; // the address from which the broker's guard says it came; NULL without
};

// Reads epoch, seq and ts of an object. Without ts it is received_ms, unless the message is numbered. alone_ok: epoch
// may stand without seq (hello). On failure out still holds epoch and seq if they are sound.
bool stamp_parse(const struct json *object, int64_t received_ms, bool alone_ok, struct arena *arena,
		 struct stamp *out, struct error *error) must_check;
bool stamp_is_member(const char *name); // "epoch", "seq", "ts"
// The same for a single member. False for anything but one of the three that comes for the first time and is sound.
bool stamp_take(const struct flat_member *member, struct arena *arena, struct stamp *out) must_check;
bool stamp_is_whole(const struct stamp *stamp); // all three were taken

// For the kinds that are one JSON object with one row: parses it, makes the stamp and a row of row_bytes.
struct json *message_object(const struct input *in, bool alone_ok, size_t row_bytes, struct arena *arena,
			    struct message *out, struct error *error) must_check;
// Text of a new object with the members of object that skip does not name; "{}" when none are left.
const char *message_rest(const struct json *object, bool (*skip)(const char *name), struct arena *arena);

// Where a ts counts as the truth, around the time of arrival: an outbox holds a month, and clocks differ a little.
#define TS_BEHIND_MS (30 * INT64_C(86400000))
#define TS_AHEAD_MS (5 * INT64_C(60000))
#define AGE_MAX_MS (366 * INT64_C(86400000))
// Fills measured_ms of all stamps: ts where it is plausible. The rows whose ts is not were made age_ms before the
// arrival, the newest of them, and the others as much earlier as their ts says.
bool message_is_plausible(int64_t ts_ms, int64_t received_ms);
void message_measure(struct message *message);

// A number as user properties carry it: 1 to 18 digits.
bool number_parse(const char *text, int64_t *out);

// Marks it for the quarantine. reason is copied, unprintable bytes as "?".
void message_refuse(struct message *message, struct arena *arena, const char *reason);
