// In which groups a person has which role, for those whose role does not hold for the whole tenant.
#pragma once

#include "common/http.h"

#define RIGHTS_MAX 32 // groups of one person

http_handler rights_get;
http_handler rights_put; // all of them, in place of what was there
