// GET /api/v1/channels: who is told of alerts, by e-mail or webhook, and what was delivered.
#pragma once

#include "common/http.h"

http_handler alert_channels_list;	// GET /api/v1/channels
http_handler alert_channels_create;	// POST /api/v1/channels
http_handler alert_channels_change;	// PATCH /api/v1/channels/{id}
http_handler alert_channels_delete;	// DELETE /api/v1/channels/{id}
http_handler alert_channels_test;	// POST /api/v1/channels/{id}/test
http_handler alert_channels_secret;	// POST /api/v1/channels/{id}/secret
http_handler alert_channels_deliveries; // GET /api/v1/channels/{id}/deliveries
