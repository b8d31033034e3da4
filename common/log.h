// Log lines for people and machines: JSON lines on stderr, or text when stderr is a terminal. Called by main.c
// and by the code that owns a decision; library code returns errors instead.
#pragma once

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
#define LOG_LEVELS "info|error|warn|debug" // the option log_level's choices, its default first

void log_init(const char *program, enum log_level level); // format: JSON unless stderr is a terminal
bool log_level_parse(const char *text, enum log_level *out);

// Fields are name, value pairs ending in NULL; a NULL value leaves the field out. event is a dotted noun phrase
// such as "command.sent". {"ts":"..","level":"info","program":"muster-ingest","event":"..","name":"value"}
void log_write(enum log_level level, const char *event, ...) __attribute__((sentinel));
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__, (const char *)NULL)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__, (const char *)NULL)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__, (const char *)NULL)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__, (const char *)NULL)

// For number fields: a small rotating buffer, valid until eight more calls.
const char *log_number(int64_t value);

// A fault that repeats: the first is written, then at most one a minute with "repeated": n; log_fault_over
// writes one "<event>.recovered" line if the fault had been reported.
struct log_fault {
	int64_t last_ms;
	uint64_t suppressed;
	bool active;
};
void log_fault(struct log_fault *fault, const char *event, const struct error *error);
void log_fault_over(struct log_fault *fault, const char *event);
