// The agent, for the computers from which devices are enrolled over adb.
#pragma once

#include "common/http.h"

http_handler download_handle; // GET /v1/agents/{file}
