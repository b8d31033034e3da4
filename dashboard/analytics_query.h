// A trend of whatever devices match a query now. Up to so many hours or days of single devices are read; of more
// devices than that allows, some are looked at, and the answer says by how much it may be off (docs/decisions/0037).
#pragma once

#include "common/http.h"
#include "dashboard/analytics_span.h"
#include "dashboard/dashboard.h"

// The metrics of devices, and online_pct. Answers the request.
void analytics_query(struct dashboard *dashboard, struct http_request *request, const char *metric,
		     const struct span *span);
