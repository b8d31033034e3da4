// How the broker's name becomes addresses. Linux has a resolver for that, and names_linux.c is nothing. Android has no
// /etc/resolv.conf: there names_android.c stands in for the C library's getaddrinfo, so that libmosquitto, which calls
// it, still checks the broker's certificate against the name.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>

// addresses: numeric ones, the only ones of host; NULL or empty: the system is asked. ERROR_INVALID for one that is not
// numeric, and where this agent can't take them. The strings must outlive the agent.
bool names_init(const char *root, const char *host, char *const *addresses, struct error *error) must_check;
