// Starting and stopping an app: on Android a package (or package/activity), on Linux the systemd unit that is the app.
#pragma once

#include "agent/plan.h"

bool app_start(struct plan *plan, const char *app, struct error *error) must_check;
bool app_stop(struct plan *plan, const char *app, struct error *error) must_check;
