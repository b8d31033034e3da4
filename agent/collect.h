// Collectors: each reads one thing about the machine and adds it to a reading (docs/protocol.md, section 4). One file
// each, collect_<name>.c, ending in its registration row; collect.c lists the rows. What the machine does not have is
// left out of the reading.
#pragma once

#include "agent/platform.h"
#include "common/json.h"

#include <stdint.h>

#define INTERFACE_NAME_MAX 16 // IFNAMSIZ

struct collect {
	const char *root; // "", or a folder of recorded files
	const struct platform *platform;
	// cpu: ticks at the last reading, 0 before the first; a share needs two readings.
	uint64_t cpu_busy, cpu_total;
};

struct collector {
	const char *name;
	void (*collect)(struct collect *collect, struct json *reading);
	bool linux_only; // on Android the platform tells instead
};

extern const struct collector collect_battery, collect_cpu, collect_disk, collect_load, collect_memory,
	collect_network, collect_temperature, collect_uptime;

void collect_init(struct collect *collect, const char *root, const struct platform *platform);
// A reading with ts and whatever the collectors found. Owned by the caller.
struct json *collect_reading(struct collect *collect, int64_t wall_ms) must_check;

// Seconds since boot, for the answer to ping as well; -1 when unknown.
int64_t collect_uptime_s(const char *root);
