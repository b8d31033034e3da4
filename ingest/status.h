// Presence as the broker keeps it: the retained status, or the will in its place.
#pragma once

#include <stdbool.h>

struct status {
	bool online;
};
