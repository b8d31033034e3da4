// Apps (on Linux: services) that are to run: one that does not is started again, at growing intervals, and given up
// after so many tries unless it ran for a minute in between. One that an order (stop_app) has stopped stays so until an
// order starts it. One program at a time, beside the agent's loop; what costs nothing to see, no program is asked for.
#pragma once

#include "agent/job.h"
#include "agent/options.h"
#include "agent/outbox.h"
#include "agent/plan.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WATCH_EVERY_MS 10000
#define WATCH_STABLE_MS 60000
#define WATCH_BACKOFF_MIN_MS 1000
#define WATCH_BACKOFF_MAX_MS 300000
#define WATCH_PROGRAM_MS 100000 // what asks or starts is ended then
#define WATCH_APPS_MAX 64

struct watch_app {
	const char *name;
	bool seen;            // running, when it was last looked at
	bool given_up;
	long tries;           // since it last ran for long enough
	int64_t since_ms;     // it has been running
	int64_t due_ms;       // to be looked at
	int64_t pid;          // Android: of its process; 0: not known
};

struct watch_port {
	// An event: app.crashed, app.relaunched (tries: the how-manieth), app.given_up (and why).
	void (*tell)(void *user, const char *type, const char *app, long tries, const char *reason);
	void *user;
};

struct watch {
	struct watch_port port;
	struct outbox *outbox;
	struct plan place; // whose root, platform and options all plans here have
	struct watch_app *apps;
	size_t count;
	struct job job;         // asks for, or starts, the app at current
	struct plan plan;
	bool starting;
	size_t current;
	int64_t deadline_ms;
	struct buf printed;
};

// The strings of place and the names in its options must outlive the watch.
bool watch_init(struct watch *watch, const struct plan *place, struct outbox *outbox, const struct watch_port *port,
		struct error *error) must_check;
void watch_done(struct watch *watch);

// An order has stopped the app, or started it: durable.
bool watch_note_order(struct outbox *outbox, const char *app, bool stopped, struct error *error) must_check;

int watch_fd(const struct watch *watch); // -1: none
int64_t watch_timeout_ms(const struct watch *watch, int64_t now_ms); // -1: nothing to wait for
void watch_poll(struct watch *watch, int64_t now_ms);
