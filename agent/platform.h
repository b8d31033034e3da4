// What is not Linux's but Android's: much of /proc and /sys is closed there, and Android's own programs tell instead
// (android_dump.h). They are run rarely, one at a time and beside the agent's loop, never through a shell; each costs
// the device some 10 to 500 ms of processor time. The same agent finds out at its start where it is.
#pragma once

#include "agent/android_dump.h"
#include "common/buf.h"
#include "common/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PLATFORM_PROBES 5

struct platform {
	const char *root;
	bool android;
	int64_t due_ms[PLATFORM_PROBES]; // 0: at once
	size_t running;                  // PLATFORM_PROBES: none
	pid_t child;
	int fd; // what the child prints; -1: none
	int64_t deadline_ms;
	struct buf output;
	bool first_round; // of those that a reading needs

	bool battery_known, network_known, signal_known;
	struct android_battery battery;
	struct android_network network;
	int64_t signal_dbm;
	struct json *hardware, *software; // NULL: not known yet
};

bool platform_is_android(const char *root);
void platform_init(struct platform *platform, const char *root);
void platform_done(struct platform *platform);

// Watch platform_fd for reading, and call platform_poll then and after platform_timeout_ms (-1: nothing to wait for).
int platform_fd(const struct platform *platform);
int64_t platform_timeout_ms(const struct platform *platform, int64_t now_ms);
void platform_poll(struct platform *platform, int64_t now_ms);
// False until each of the programs that a reading needs has had its chance.
bool platform_ready(const struct platform *platform);

// Adds what Android told, and its disk. Nothing on Linux.
void platform_reading(const struct platform *platform, struct json *reading);

// The board's serial number, by running a program that answers at once; malloc'd, NULL without or on Linux.
char *platform_serial(const char *root) must_check;
