// Keeps the processes of the stack: starts them in order, starts them again with backoff, writes their logs, and stops
// them in reverse order. If it is killed itself, the kernel signals every one of them.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/json.h"
#include "tools/stack.h"

#include <stdbool.h>
#include <sys/types.h>

struct supervisor;

struct part_spec {
	const char *name;  // also its log's; a literal
	char *const *argv; // argv[0] is a path; copied
	int stop_signal;   // asks it to end
	int orphan_signal; // from the kernel, when the supervisor is gone
	int stage;	   // they are stopped in falling order of stages
	bool notifies;	   // ready when it says READY=1 (sd_notify), otherwise once it is started
	bool once;	   // runs to its end and is not started again
	bool (*before)(void *user, struct error *error); // called before each start; NULL: nothing to do
	void *user;
};

// Takes over SIGCHLD, SIGTERM, SIGINT and SIGHUP, and the lock that says who runs in this folder (ERROR_EXISTS when
// somebody else has it).
struct supervisor *supervisor_new(const struct stack *stack, struct error *error) must_check;
void supervisor_free(struct supervisor *supervisor); // stops what still runs
DEFINE_CLEANUP(struct supervisor, supervisor_free)

// Failures of parts come back as errors with the part's name in error.where.
bool supervisor_start(struct supervisor *supervisor, const struct part_spec *spec, struct error *error) must_check;
// Until all that notify are ready; fails as soon as one ends before it was.
bool supervisor_wait_ready(struct supervisor *supervisor, int timeout_ms, struct error *error) must_check;
// Until the part of this name, which runs once, has ended; fails unless its exit code is 0.
bool supervisor_wait_end(struct supervisor *supervisor, const char *name, int timeout_ms,
			 struct error *error) must_check;
// Waits for events, at most timeout_ms (-1: until there are some), and handles them. False once the user or a signal
// has asked for the end.
bool supervisor_turn(struct supervisor *supervisor, int timeout_ms);
void supervisor_stop(struct supervisor *supervisor);

// Whether the parts' output also goes to stdout.
void supervisor_echo(struct supervisor *supervisor, bool on);
// What run/up.json says besides the state of the parts; taken over. state is "starting", "ready" or "stopping".
void supervisor_publish(struct supervisor *supervisor, struct json *facts, const char *state);
