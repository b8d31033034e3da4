// All that is known of one device, for people, from what the API says about it. Pure.
#pragma once

#include "common/buf.h"
#include "common/json.h"

#include <stdint.h>

void device_text(const struct json *device, int64_t now_ms, struct buf *out);
