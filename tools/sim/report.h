// What a simulated device reports: builds the messages of docs/protocol.md, writes them into the ledger and puts them
// into the outbox. hello alone is sent at once, without seq.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct device;

// One message of so many readings, the last made now.
void report_readings(struct device *device, int64_t count, int64_t now_ms);
void report_event(struct device *device, const char *type, const char *reason); // reason NULL: none
// members as in struct obey_record.
void report_result(struct device *device, const char *command, const char *members);
// False when the session was lost meanwhile.
bool report_hello(struct device *device);
