// A program that runs for the agent: found by its full path, never by a shell, with an environment of our own, no
// descriptor of ours, a session (and so a process group) of its own, and limits on what it may use.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Whom a program runs as.
struct job_user {
	bool other; // than the agent itself
	uid_t uid;
	gid_t gid;
};

struct job_options {
	const char *path;
	char *const *argv;        // ends with NULL
	const char *input;        // for its standard input, up to JOB_INPUT_MAX_BYTES; NULL: nothing
	struct job_user user;
	int64_t memory_max_bytes; // of address space; 0: no limit
	int64_t cpu_max_s;        // of processor time; 0: no limit
	bool outlives;            // it goes on when the agent ends, and may leave programs behind
};

#define JOB_INPUT_MAX_BYTES 16384 // below what a pipe takes without a reader
#define JOB_FILES_MAX 256

struct job {
	pid_t pid;     // 0: none
	int exit_fd;   // readable once it has ended (pidfd_open(2)); -1: not known, or no kernel support (before 5.3)
	int output_fd; // what it prints, standard error with it; -1: none, or at its end
	bool outlives;
};

#define JOB_NONE ((struct job){.exit_fd = -1, .output_fd = -1})

// name: a number, or a name in /etc/passwd below root (on Android: nobody or shell). Where the agent is not root it can
// be nobody else: other stays false.
bool job_user_find(const char *root, const char *name, struct job_user *out, struct error *error) must_check;

// False, with the reason, also when the program could not be executed.
bool job_start(const struct job_options *options, struct job *out, struct error *error) must_check;
// What there is, at most max bytes; 0: nothing now, or (output_fd is -1 then) ever again.
size_t job_read(struct job *job, char *out, size_t max);
// To all its processes.
void job_signal(const struct job *job, int signal);
// Whether it has ended, and how (waitpid(2)). What it left behind is ended with it, unless it outlives.
bool job_ended(struct job *job, int *status) must_check;
// Ends it, unless it outlives.
void job_done(struct job *job);
