// Every path that muster-dashboard answers, with the roles that may use it.
#pragma once

#include "common/http.h"

#include <stddef.h>

extern const struct http_route routes[];
extern const size_t routes_count;
