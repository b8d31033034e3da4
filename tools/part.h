// One process of the stack, kept by the supervisor: its start, its log, its end. For supervisor.c.
#pragma once

#include "common/error.h"
#include "tools/stack.h"
#include "tools/supervisor.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PART_LINE_MAX ((size_t)8192) // longer output lines are split

enum part_state {
	PART_STARTING,
	PART_READY,
	PART_STOPPING,
	PART_WAITING, // for its next start
	PART_ENDED,   // for good
};

struct part {
	struct part_spec spec; // its argv is a copy
	enum part_state state;
	pid_t pid;	    // 0: no process
	bool was_ready;	    // in any of its lives
	int exit_status;    // as from waitpid, of the last life
	unsigned restarts;  // lives beyond the first
	unsigned failures;  // lives in a row that were short: the exponent of the backoff
	int64_t started_ms; // monotonic
	int64_t started_wall_ms;
	int64_t next_start_ms; // monotonic, PART_WAITING
	int output;	       // reading end of its stdout and stderr; -1 after its end
	int log;
	off_t log_bytes;
	char line[PART_LINE_MAX];
	size_t line_bytes;
};

const char *part_state_name(enum part_state state);

bool part_init(struct part *part, const struct part_spec *spec, struct error *error) must_check;
void part_done(struct part *part);

// Forks and executes. The child gets the signal mask, its own process group, and dies with the caller.
bool part_spawn(struct part *part, const struct stack *stack, const sigset_t *mask, struct error *error) must_check;
// Reads what there is into the log; with echo also onto stdout, each line behind the part's name.
void part_read(struct part *part, const struct stack *stack, bool echo);
// After the process was reaped: its last output, and when to start it again.
void part_ended(struct part *part, const struct stack *stack, int exit_status, bool echo);
// "exit code 1", "signal 9 (Killed)"
void part_describe_end(const struct part *part, char *out, size_t out_bytes);
