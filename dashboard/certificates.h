// The certificates of devices, and the authorities that stand behind them.
#pragma once

#include "common/http.h"

http_handler certificates_list;    // GET /api/v1/certificates
http_handler certificates_summary; // GET /api/v1/certificates/summary
