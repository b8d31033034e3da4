// Counters, gauges and histograms in Prometheus text format 0.0.4. Names start with "muster_" and end in a base unit;
// labels are few and bounded, never a device id.
#pragma once

#include "common/buf.h"

#include <stdint.h>

struct metrics;
struct metric;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *metrics);

// labels: "route=\"/v1/enroll\",status=\"201\"" or NULL. The same name and labels give the same metric; help is
// taken from the first. Beyond 2,000 metrics the last, "overflow", is given.
struct metric *metrics_counter(struct metrics *metrics, const char *name, const char *labels, const char *help);
struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *labels, const char *help);
// Buckets in seconds: 1 ms to 10 s, 1-2.5-5 steps.
struct metric *metrics_histogram(struct metrics *metrics, const char *name, const char *labels, const char *help);

void metric_add(struct metric *metric, double value);     // counter
void metric_set(struct metric *metric, double value);     // gauge
void metric_observe(struct metric *metric, double value); // histogram

// All of them, with the process's own CPU seconds, memory and descriptors.
void metrics_write(struct metrics *metrics, struct buf *out);
