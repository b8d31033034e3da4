// Who is told of alerts, and when: silences, and for each channel one message about all that came together. What waits
// to be told stands in alert_told, made when an alert was raised or cleared. A message is made when nothing new has
// come for wait_s (or that four times over has passed), and not before interval_s after the last one; what nobody
// acknowledged is said again after repeat_s. What came and went in between is not mentioned.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/log.h"

#include <stdbool.h>
#include <stdint.h>

struct commander;

struct notify {
	int64_t silenced_ms; // monotonic: when silences were last applied
	struct log_fault fault;
};

// Inside the transaction; clears DUE_NOTIFY when there is nothing to do before the next tick.
bool notify_run(struct commander *commander, struct error *error) must_check;
