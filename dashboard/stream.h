// Live updates as server-sent events (docs/protocol.md, section 26): one connection a page, filtered by what is on
// screen. What changes is asked for once for all of them (feed.h), at most four times a second.
//
//   devices, commands, ..   array of rows, as in their lists; a topic each
//   resync    {}: more changed than is sent one by one; ask again for what you show
//   database  {"up":bool}: the database went away or is back
//   ready     {"replayed":bool,"stream":".."}: all that changed since Last-Event-ID was sent before this
//   beat      {}: nothing but a sign of life
//   end       {}: the session ended
//
// The id of an event is a time, in microseconds since 1970: what changed before it has been sent.
#pragma once

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/http.h"

#include <stdint.h>

struct dashboard;
struct streams;

// max: how many streams may be open at once.
struct streams *streams_new(struct dashboard *dashboard, size_t max, struct error *error) must_check;
// After the HTTP server, which closes the streams.
void streams_free(struct streams *streams);
DEFINE_CLEANUP(struct streams, streams_free)
void streams_end_session(struct streams *streams, const char *token_hash);

http_handler stream_open;   // GET /api/v1/stream
http_handler stream_change; // POST /api/v1/stream/{id}

// One event (WHATWG HTML, section 9.2.5); data is one line of JSON.
void stream_frame(struct buf *out, const char *event, int64_t id, const char *data);
