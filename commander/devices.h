// A list of device ids to look at, bounded; duplicates do no harm.
#pragma once

#include "common/buf.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stddef.h>

#define DEVICES_MAX 10000 // beyond it, looking at all is cheaper

struct devices {
	char (*ids)[DEVICE_ID_MAX + 1];
	size_t count, capacity;
};

// False when the list is full: look at all devices instead. device must follow the grammar.
bool devices_add(struct devices *devices, const char *device);
void devices_clear(struct devices *devices);
void devices_done(struct devices *devices);
// The first count of them as a PostgreSQL text[] literal; device ids need no quoting.
void devices_literal(const struct devices *devices, size_t count, struct buf *out);
// Removes the first count.
void devices_drop(struct devices *devices, size_t count);
