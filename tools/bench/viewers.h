// Many open pages: their streams of server-sent events, and when the last of them has heard of a change.
#pragma once

#include "common/error.h"
#include "tools/bench/stage.h"

#include <stdbool.h>
#include <stddef.h>

struct viewers_options {
	size_t streams, takes; // takes: changes, one after the other
	struct stage *stage;
	const char *token;
};

struct viewers_result {
	size_t streams;
	double p50_ms, p95_ms, max_ms; // from the end of COMMIT until the last stream has it
};

bool viewers_run(const struct viewers_options *options, struct viewers_result *out, struct error *error) must_check;
