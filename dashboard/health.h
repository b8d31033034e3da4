// For supervisors and Prometheus.
#pragma once

#include "common/http.h"

http_handler health_live;    // GET /health: the process answers
http_handler health_ready;   // GET /ready: the database answers too
http_handler health_metrics; // GET /metrics, from this machine only
