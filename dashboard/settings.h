// What can be set of a device: the policy of its commands, its time zone, its maintenance window.
#pragma once

#include "common/http.h"

http_handler settings_change; // PATCH /api/v1/devices/{id}
