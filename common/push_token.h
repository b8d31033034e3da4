// The address under which a push service reaches an app on a device. Whoever has it and the service's credentials may
// wake the device; it opens nothing.
#pragma once

#include <stdbool.h>

#define PUSH_TOKEN_MAX 1024 // FCM's have some 160 bytes, and no promised limit

// 1 to PUSH_TOKEN_MAX of A-Z a-z 0-9 and - _ : . ~ = + /
bool push_token_ok(const char *text);
