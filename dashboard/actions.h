// /api/v1/actions: what devices can be ordered to do (common/action.h).
#pragma once

#include "common/http.h"

http_handler actions_list;
