// What every daemon's main.c shares: the command line, signals and readiness.
#pragma once

#include "common/config.h"
#include "common/error.h"

#include <stdbool.h>

struct daemon {
	const char *name;    // "muster-ingest"
	const char *summary; // one line for --help
	const struct config_table *table;
	void *config; // the program's own struct
};

// Handles --config FILE, --check-config, --sample-config, --log-level L, --version and --help; loads the
// configuration; sets up log_init, with the option log_level unless --log-level is given; ignores SIGPIPE. Returns
// true to go on; otherwise *exit_code is what main returns (0 after --help, 1 for a bad configuration, 2 for bad
// usage).
bool daemon_start(const struct daemon *daemon, int argc, char **argv, int *exit_code) must_check;

// sd_notify(3) protocol: tells the supervisor over NOTIFY_SOCKET; does nothing without one.
void daemon_ready(void);
void daemon_status(const char *text);
void daemon_stopping(void);

// SIGTERM and SIGINT, for programs with their own poll loop: blocks them and returns a signalfd, -1 on failure.
// Programs on common/loop.h use loop_stop_on_signals instead.
int daemon_signal_fd(struct error *error) must_check;
