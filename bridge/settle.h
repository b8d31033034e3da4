// Holds an answer back until the broker of a device has confirmed that whoever had its name before is shut out: a
// device that was enrolled again connects with its new certificate the moment that it has it, and must not meet the
// session, nor the commands, of before.
#pragma once

#include "bridge/worker.h"
#include "common/error.h"
#include "common/http.h"
#include "common/json.h"
#include "common/loop.h"

struct settle;

struct settle *settle_new(struct loop *loop, struct worker *worker, struct error *error) must_check;
// Answers 503 to whoever still waits.
void settle_free(struct settle *settle);

// Answers with json, which it takes: as soon as the database says that there is nothing to wait for (any more), or
// 503 when there is none in time (the same key may ask again).
void settle_reply_json(struct settle *settle, struct http_request *request, int status, const char *device,
		       struct json *json);
