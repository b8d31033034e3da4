// The dashboard's options: what its configuration file, its environment and --help know.
#pragma once

#include "common/config.h"

extern const struct config_table dashboard_options; // of a struct dashboard_config
