// How devices' inventories changed (docs/protocol.md, section 28).
#pragma once

#include "common/http.h"

void inventory_changes(struct http_request *request, void *user);
