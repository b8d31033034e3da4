// Live updates as server-sent events. One database connection listens for changes and asks once per set of
// changes, at most four times a second; what comes is sent to every open stream.
//
//   devices   array of device summaries, as in GET /api/v1/devices
//   commands  array of commands, as in GET /api/v1/commands
//   resync    {}: more changed than is sent one by one; ask again for what you show
//   database  {"up":bool}: the database went away or is back
//   ready     {"replayed":bool}: all that changed since Last-Event-ID was sent before this
//   end       {}: the session ended
//
// The id of an event is the time of the latest change sent so far, in microseconds since 1970.
#pragma once

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/http.h"

#include <stdint.h>

struct dashboard;
struct streams;

struct streams *streams_new(struct dashboard *dashboard, struct error *error) must_check;
// After the HTTP server, which closes the streams.
void streams_free(struct streams *streams);
DEFINE_CLEANUP(struct streams, streams_free)
void streams_end_session(struct streams *streams, const char *token_hash);

http_handler stream_open; // GET /api/v1/stream

// One event (WHATWG HTML, section 9.2.5); data is one line of JSON.
void stream_frame(struct buf *out, const char *event, int64_t id, const char *data);
