// Requests: rows of `command` in the state `requested`, whoever put them there. Each is checked, numbered, signed and
// queued, and sent at once when nothing else is on its way to that device.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/json.h"

#include <stdbool.h>
#include <stdint.h>

struct commander;

// Why a request is not taken: a short name for programs, and what is wrong and what to do about it for people.
struct refusal {
	char what[64];
	char detail[512];
};

struct request {
	const char *device;
	bool device_known, device_enabled;
	const char *action;
	const struct json *params; // NULL: {}
	int64_t ttl_ms;		   // until it expires, from now
};

// The checks that every request passes, from wherever it comes. False fills refusal.
bool request_check(const struct request *request, struct refusal *refusal) must_check;

void refusal_set(struct refusal *refusal, const char *what, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

// Inside the transaction; clears DUE_REQUESTS when none is left.
bool request_run(struct commander *commander, struct error *error) must_check;
