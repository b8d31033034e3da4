// Processes that end with this one, the folder they live in, and what they use.
#pragma once

#include "common/error.h"
#include "common/cleanup.h"
#include "tools/stack.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// Waits for the end of this process and its children, however they end, and deletes the folder.
struct process_keeper {
	pid_t pid;
	int alive; // its other end closes with this process
	int lock;  // of the folder; -1: not taken
};

// Makes the folder and names it in the stack; as root takes on the ids of an unprivileged user for good, with copies of
// the programs where that user can execute them.
bool process_folder(struct stack *stack, struct process_keeper *keeper, struct error *error) must_check;
void process_keeper_end(struct process_keeper *keeper); // returns once the folder is gone

// Output goes to log/<name>.log. orphan_signal comes from the kernel when this process is gone. 0 on failure.
pid_t process_start(const struct stack *stack, const char *name, char *const *argv, int orphan_signal,
		    struct error *error) must_check;
pid_t process_fork(struct error *error) must_check; // as fork; the child gets SIGKILL when this process is gone
// Sends the signal, and SIGKILL after timeout_ms; reaps. *pid becomes 0.
void process_stop(pid_t *pid, int signal, int timeout_ms);
// An error with the last line of its log.
bool process_failed(const struct stack *stack, const char *name, struct error *error);

double process_cpu_s(pid_t pid);	// user and system; 0 when there is none
double process_family_cpu_s(pid_t pid); // with its children, those that have ended too
int64_t process_peak_bytes(pid_t pid);	// VmHWM
