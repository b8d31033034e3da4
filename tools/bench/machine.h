// The machine that the figures belong to.
#pragma once

#include "common/json.h"

struct json *machine_describe(void);
