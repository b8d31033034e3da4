// Tenants, for those who run the installation.
#pragma once

#include "common/http.h"

http_handler tenants_list;
http_handler tenants_create;
http_handler tenants_change;
http_handler tenants_move; // a device to another one
