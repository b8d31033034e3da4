// From a device's publish to the committed row: one transport and number of connections at a time.
#pragma once

#include "common/error.h"
#include "tools/bench/load.h"
#include "tools/bench/stage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UPLINK_RATES = 3 };

struct uplink_options {
	bool tls;
	size_t connections;
	int64_t warm_ms, phase_ms;
	int64_t backlog; // messages; 0: not measured
};

struct uplink_latency {
	double rate;
	double committed_per_s; // while this rate was offered
	struct load_latency time;
	int64_t unanswered;
};

struct uplink_result {
	double generator_per_s, limit_per_s, committed_per_s;
	int64_t messages, rows; // published in the run against ingest, and found in the database
	int64_t rss_bytes;
	// Of the committed messages, per million.
	double ingest_cpu_s, database_cpu_s, broker_cpu_s;
	double db_bytes, wal_bytes; // per message
	double batch; // messages per transaction
	struct uplink_latency latency[UPLINK_RATES];
	int64_t backlog, backlog_rss_bytes;
	double backlog_per_s; // drained
};

bool uplink_run(struct stage *stage, const struct uplink_options *options, struct uplink_result *out,
		struct error *error) must_check;
