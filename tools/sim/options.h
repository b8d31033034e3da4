// The command line of muster-sim: one table from which the parser and --help come.
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stdio.h>

// Strings belong to argv.
struct options {
	const char *state_dir;
	const char *bridge_url;
	const char *ca_file;
	const char *token_file;
	const char *prefix;
	const char *host; // overrides the broker's host that enrolment told
	const char *ledger_file;
	long count;
	long interval_ms; // between messages of a device
	long limit;       // readings per device; 0: no end
	long batch;       // readings per message
	long port;        // overrides the broker's port that enrolment told; 0: as told
	long plain_port;  // not 0: plain TCP, no enrolment, no keys
	long connect_rate; // first connects per second
	long window;      // messages sent and not stored, per device
	long outbox_max;  // messages; no readings are made beyond
	long stall_s;
	long drain_s;     // after SIGTERM
	long backoff_ms;  // longest wait between two tries to connect; 0: as devices do
	long seed;
	bool forget_on_puback;
	bool sign;
	bool json;
};

enum options_verdict {
	OPTIONS_GO,
	OPTIONS_HELP,    // asked for; exit 0
	OPTIONS_VERSION,
	OPTIONS_BAD,     // error says what; exit 2
};

enum options_verdict options_parse(int argc, char **argv, struct options *out, struct error *error);
void options_print_help(FILE *out);
