// What the machine is, sent once and when it changed (docs/protocol.md, section 6). One file for each kind,
// inventory_<kind>.c, ending in its registration row; inventory.c lists the rows.
#pragma once

#include "agent/outbox.h"
#include "agent/platform.h"
#include "common/json.h"

#include <stdbool.h>

struct inventory {
	const char *kind;
	// Fills content; false when it is not known, or not yet. Only what is the same from one reading to the next as
	// long as nothing changed, in a fixed order.
	bool (*read)(const struct platform *platform, struct json *content);
};

extern const struct inventory inventory_hardware, inventory_network, inventory_software;

// Puts the kinds whose content has changed since they were last put there into the outbox.
bool inventory_report(const struct platform *platform, struct outbox *outbox, const char *device, int64_t wall_ms,
		      struct error *error) must_check;
