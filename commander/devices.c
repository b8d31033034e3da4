#include "commander/devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool devices_add(struct devices *devices, const char *device)
{
	if (devices->count == DEVICES_MAX)
		return false;
	if (devices->count == devices->capacity) {
		size_t capacity = devices->capacity ? devices->capacity * 2 : 64;
		void *grown = realloc(devices->ids, capacity * sizeof(devices->ids[0]));

		if (!grown)
			return false;
		devices->ids = grown;
		devices->capacity = capacity;
	}
	(void)snprintf(devices->ids[devices->count++], sizeof(devices->ids[0]), "%s", device);
	return true;
}

void devices_clear(struct devices *devices)
{
	devices->count = 0;
}

void devices_done(struct devices *devices)
{
	free(devices->ids);
	*devices = (struct devices){0};
}

void devices_literal(const struct devices *devices, size_t count, struct buf *out)
{
	(void)buf_add_str(out, "{");
	for (size_t i = 0; i < count && i < devices->count; i++)
		(void)buf_addf(out, "%s%s", i == 0 ? "" : ",", devices->ids[i]);
	(void)buf_add_str(out, "}");
}

void devices_drop(struct devices *devices, size_t count)
{
	if (count == 0)
		return; // there may be no list yet
	if (count > devices->count)
		count = devices->count;
	memmove(devices->ids, devices->ids + count, (devices->count - count) * sizeof(devices->ids[0]));
	devices->count -= count;
}
