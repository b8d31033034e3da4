// What an HTTP-only device reports, put on the device's own topic; it is answered when ingest says that it is committed
// (docs/protocol.md section 15).
#pragma once

#include "bridge/link.h"
#include "common/http.h"
#include "common/metrics.h"
#include "common/topic.h"

struct relay;

struct relay *relay_new(struct loop *loop, struct link *link, struct metrics *metrics, int timeout_ms,
			struct error *error) must_check;
void relay_free(struct relay *relay); // what waits is answered 503
DEFINE_CLEANUP(struct relay, relay_free)

// Takes the request over: 200 after COMMIT, 422 or 403 when ingest refused it, 503 when it was not heard to be stored
// in time. kind: TOPIC_TELEMETRY, TOPIC_EVENT or TOPIC_RESULT.
void relay_take(struct relay *relay, struct http_request *request, const char *device, enum topic_kind kind);
