// How a simulated device obeys signed commands (docs/protocol.md section 8): the checks, the memory of what was
// obeyed, and the actions.
#pragma once

#include "common/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OBEY_RECORDS 8 // commands come one at a time, so few can be asked for again, or come after their cancel

struct device;

struct obey_record {
	char id[COMMAND_ID_BYTES];
	char *members; // of the latest result, without braces: "state":"succeeded","output":{..}; NULL: empty record
};

struct obey {
	int64_t counter_high;
	int64_t floor_s; // the last signed server time
	struct obey_record records[OBEY_RECORDS];
	size_t next;     // the record to overwrite
	char rebooting[COMMAND_ID_BYTES]; // the command whose reboot is under way; "" when none is
};

void obey_done(struct obey *obey);
// The record of this command, NULL when it is not known (any more).
const struct obey_record *obey_find(const struct obey *obey, const char *id);
// Remembers the command and its latest result; a repeated id replaces what is known. False when memory ran out.
bool obey_remember(struct obey *obey, int64_t counter, const char *id, const char *members);
// A line of the journal as obey writes it: "<device> <n> <jti> <members>". False if it is none of this device's.
bool obey_replay(struct obey *obey, const char *device, const char *line);

// One message on the device's command topic.
void obey_command(struct device *device, const char *jws, size_t jws_bytes);
// The device is back from a reboot that a command asked for: reports its result.
void obey_rebooted(struct device *device);
