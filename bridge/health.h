// What supervisors and Prometheus ask: /health (alive, and how the database is), /ready (200 only when a device could
// enrol now), /metrics (this machine only).
#pragma once

#include "common/http.h"

http_handler health_handle;
http_handler health_handle_ready;
http_handler health_handle_metrics;

// 127.0.0.0/8, ::1, and the former mapped into IPv6.
bool health_is_loopback(const char *address);
