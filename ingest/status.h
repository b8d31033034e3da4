// Presence as the broker keeps it: the retained status, or the will in its place.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct status {
	bool online;
	const char *why; // what kind of "offline": will, goodbye, sleep, or status when the sender did not say
	int64_t session; // which connection of the device it is about; 0: it does not count them
	bool retained;   // told again by the broker
};
