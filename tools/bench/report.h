// The figures as JSON, whose keys are documented in docs/performance.md and stay, and as tables.
#pragma once

#include "common/json.h"
#include "tools/bench/uplink.h"

#include <stdbool.h>
#include <stddef.h>

struct report_row {
	struct uplink_options options;
	struct uplink_result result;
};

struct json *report_json(const struct json *machine, const struct report_row *rows, size_t count);
void report_print(const struct json *machine, const struct report_row *rows, size_t count);
