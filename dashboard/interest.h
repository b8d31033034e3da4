// What one live stream wants to hear of: kinds of rows, all of them or only those of the devices on screen. Pure.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stddef.h>

#define INTEREST_DEVICES_MAX 200 // as many as stand on a screen, and some around it

typedef char interest_device[DEVICE_ID_MAX + 1];

struct interest {
	unsigned all;   // bits of enum feed_kind: every row that may be seen
	unsigned named; // only rows of the devices below
	interest_device *devices; // sorted, each once
	size_t device_count;
};

// "devices", or "devices*" where the devices that are named do not bound it. roles: bits of enum role.
bool interest_add_topic(struct interest *interest, const char *topic, int roles, struct error *error) must_check;
bool interest_add_device(struct interest *interest, const char *device, struct error *error) must_check;
// The same of lists with commas; NULL adds nothing.
bool interest_add_lists(struct interest *interest, const char *topics, const char *devices, int roles,
			struct error *error) must_check;
// When all has been added.
bool interest_finish(struct interest *interest, struct error *error) must_check;
void interest_done(struct interest *interest);
#define auto_interest cleanup(interest_done)

// Whether it is another one for each person: some rows of it are only their own.
bool interest_is_own(const struct interest *interest);
bool interest_has_device(const struct interest *interest, const char *device);
bool interest_equal(const struct interest *a, const struct interest *b);
