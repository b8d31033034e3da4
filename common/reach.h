// How near an address that a person named may be: whoever may have requests made from here must not reach with them
// what only this machine or its network can (SSRF). Judged when the connection is made, so that no name that is
// resolved anew gets around it. Pure.
#pragma once

#include <stdbool.h>

struct sockaddr;

enum reach {
	REACH_ANY,     // this machine, too
	REACH_PRIVATE, // networks of one's own, too (RFC 1918, unique local)
	REACH_PUBLIC,  // the internet only
};

bool reach_parse(const char *text, enum reach *out); // "any", "private" or "public"
bool reach_allows(enum reach reach, const struct sockaddr *address);
