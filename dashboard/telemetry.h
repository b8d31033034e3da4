// A device's telemetry over time, condensed for a chart.
#pragma once

#include "common/http.h"

http_handler telemetry_get; // GET /api/v1/devices/{id}/telemetry?metric=&from=&to=&points=
