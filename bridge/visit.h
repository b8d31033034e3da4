// What a device that speaks only HTTP may ask for with its bearer credential (docs/protocol.md section 15).
#pragma once

#include "common/http.h"

http_handler visit_heartbeat;     // POST /v1/heartbeat
http_handler visit_event;         // POST /v1/events
http_handler visit_action_result; // POST /v1/action-result
http_handler visit_commands;      // GET /v1/commands
