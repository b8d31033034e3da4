// What an action is going to do on this device: the programs that do it, one after the other, made and checked before
// the command is accepted, so that what cannot be done here is rejected with the reason. Programs of the system are
// looked up in fixed folders; what came with the command becomes whole arguments and never meets a shell.
#pragma once

#include "agent/job.h"
#include "agent/options.h"
#include "common/error.h"
#include "common/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_STEPS_MAX 2
#define PLAN_WORDS_MAX 80

struct plan {
	const char *root; // of the system's programs, see system.h
	bool android;
	const char *device;
	const struct agent_options *options;

	struct {
		char *path;
		char *words[PLAN_WORDS_MAX + 1]; // argv
		size_t count;
	} steps[PLAN_STEPS_MAX];
	size_t step_count;
	char *input; // of the first step; NULL: none
	struct job_user user;
	int64_t memory_max_bytes; // 0: no limit
	int64_t time_s;           // for all of it
	bool time_is_end;         // it runs until its time is over, and that is how it should be
	bool sends_output;        // as it comes
	bool outlives;            // see job.h
};

#define PLAN_TIME_S 60
#define PLAN_MEMORY_MAX_BYTES 2147483648 // of a program of the system

void plan_done(struct plan *plan);
#define auto_plan cleanup(plan_done)

// Begins a step with the first of the programs that there is; program names end with NULL. ERROR_NOT_FOUND names them.
bool plan_tool(struct plan *plan, struct error *error, const char *program, ...) __attribute__((sentinel)) must_check;
// Begins a step with a program of this very path.
bool plan_path(struct plan *plan, const char *path, struct error *error) must_check;
// More words for the last step; ends with NULL. What came with the command is passed like any other.
void plan_add(struct plan *plan, ...) __attribute__((sentinel));
void plan_add_list(struct plan *plan, char *const *words);

// The parameter of that name; "" without (which action_check_params has refused).
const char *plan_text(const struct json *params, const char *name);
// For names that are handed to systemd or Android's package manager: their own grammar, which is narrower than that of
// the table of actions.
bool plan_check_unit(const char *name, struct error *error) must_check;
bool plan_check_package(const struct plan *plan, const char *name, struct error *error) must_check;
