// What the canary reports, like any device: its status, hello, and a reading now and then. Its outbox holds one
// reading; the next one is made when that is stored, so none is lost while the process lives.
#pragma once

#include "common/error.h"
#include "common/limits.h"
#include "common/mqtt.h"
#include "tools/canary/identity.h"

#include <stdbool.h>
#include <stdint.h>

#define REPORT_INTERVAL_S 30

struct report {
	const char *device;
	char epoch[EPOCH_MAX + 1];
	char boot_id[EPOCH_MAX + 1];
	int64_t session;
	int64_t seq;	    // of the reading that waits, or of the last one
	bool waits;	    // it is not stored yet
	int64_t due_ms;	    // monotonic: the next reading, or the same once more
	char reading[512];
};

void report_init(struct report *report, const char *device);
// The will of the next connect.
bool report_will(struct report *report, struct mqtt *mqtt, struct error *error) must_check;
// Subscriptions, status and hello, at each connect.
bool report_begin(struct report *report, struct mqtt *mqtt, const struct identity *identity,
		  struct error *error) must_check;
bool report_goodbye(struct report *report, struct mqtt *mqtt, struct error *error) must_check;
// A new reading when the last one is stored, or that one once more; cut_s is the last proof's, below 0: none.
bool report_reading(struct report *report, struct mqtt *mqtt, double cut_s, int64_t now_ms,
		    struct error *error) must_check;
// What came on "stored".
void report_stored(struct report *report, const char *payload, size_t payload_bytes);
