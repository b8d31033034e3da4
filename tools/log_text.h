// A part's log line for people: the JSON lines of our daemons as text, everything else as it is.
#pragma once

#include "common/buf.h"

#include <stddef.h>

// {"ts":"..T08:15:30.123Z","level":"warn","program":"..","event":"broker.lost","host":"x"} becomes
// "08:15:30 warn broker.lost host=x"; the level is left out when it is info.
void log_text(const char *line, size_t bytes, struct buf *out);
