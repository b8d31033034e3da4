// What ingest says after COMMIT: `stored` to each device, coalesced, and at once to whoever set a response topic.
#pragma once

#include "common/mqtt.h"
#include "ingest/summary.h"

#include <stdint.h>

struct answers;

struct answers *answers_new(struct mqtt *mqtt, int64_t interval_ms, struct error *error) must_check;
void answers_free(struct answers *answers);
DEFINE_CLEANUP(struct answers, answers_free)

// Queues the answers to what was committed. A device and epoch gets one at once if it had none within the interval,
// and otherwise one when the interval is over.
void answers_committed(struct answers *answers, const struct summary *summary, int64_t mono_ms);
// Queues what has become due.
void answers_due(struct answers *answers, int64_t mono_ms);
// -1 when nothing waits.
int answers_timeout_ms(const struct answers *answers, int64_t mono_ms);
// The session is lost: devices ask again with hello, or are covered by the next.
void answers_clear(struct answers *answers);
