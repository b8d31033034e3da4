// What every request for a command must be, from wherever it comes: its JSON form (API, POST /admin/command,
// ops/v1/<operator>/request) and the checks that also a row in the database passes. Pure.
#pragma once

#include "common/cleanup.h"
#include "common/json.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define COMMAND_ACTION_MAX 63
#define COMMAND_BEGIN_MAX_S 31536000 // at, after_s: within a year
#define COMMAND_WINDOW_TTL_S 691200  // in_window without ttl_s: each weekday comes within eight days
#define COMMAND_ATTEMPTS_DEFAULT 10
#define COMMAND_ATTEMPTS_MAX 100

// Why a request is not taken: a short name for programs, and what is wrong and what to do about it for people.
struct refusal {
	char what[64];
	char detail[512];
};

// Returns false.
bool refusal_set(struct refusal *refusal, const char *what, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

struct command_request {
	char device[DEVICE_ID_MAX + 1];
	char action[COMMAND_ACTION_MAX + 1];
	struct json *params; // owned; an object
	int64_t ttl_s;	     // from when it may begin
	int64_t begin_ms;    // since 1970; 0: at once
	bool in_window;	     // in the device's maintenance window only
	bool confirmed;
	int64_t max_attempts;
};

// Reads a body; others names members that are the caller's own, ending with NULL. out must be command_request_done'd
// also after a failure.
bool command_request_read(const struct json *body, const char *const *others, int64_t now_ms,
			  struct command_request *out, struct refusal *refusal) must_check;
void command_request_done(struct command_request *request);

// A request, and what the database knows of whom it is for.
struct command_demand {
	const char *device;
	bool device_known, device_enabled;
	const char *action;
	const struct json *params; // NULL: {}
	bool confirmed;
	bool internal;	  // commander's own
	bool over_limit;  // its requester has asked too often
	int64_t now_ms;	  // since 1970, by the database's clock
	int64_t begin_ms; // 0: at once
	int64_t expires_ms;
	bool in_window;
	int64_t opens_ms; // when the window is open next; 0: the device has none
};

bool command_demand_check(const struct command_demand *demand, struct refusal *refusal) must_check;
// When it may begin: now_ms, or later.
int64_t command_demand_begin_ms(const struct command_demand *demand);
