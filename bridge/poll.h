// GET /v1/commands: HTTP-only devices that wait for commands. What there is stands in the database, signed, in state
// `sent`; commander's notification says when to look (docs/decisions/0016).
#pragma once

#include "bridge/worker.h"
#include "common/http.h"
#include "common/loop.h"
#include "common/metrics.h"

#include <stddef.h>

struct poll;

struct poll_options {
	struct worker *worker;
	struct metrics *metrics;
	size_t waiting_max; // devices that may wait at a time
	// The device's request was answered.
	void (*answered)(const char *device, void *user);
	void *user;
};

struct poll *poll_new(struct loop *loop, const struct poll_options *options, struct error *error) must_check;
void poll_free(struct poll *poll); // whoever waits is answered 503
DEFINE_CLEANUP(struct poll, poll_free)

// Takes the request over. One request waits for each device: an earlier one is answered with no commands.
void poll_take(struct poll *poll, struct http_request *request, const char *device);
bool poll_waits(const struct poll *poll, const char *device);
// Commands have changed.
void poll_changed(struct poll *poll);
// Answers the device's request with no commands, so that it has to show its credential again.
void poll_end(struct poll *poll, const char *device);
