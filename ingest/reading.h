// A reading: the known measurements of a device at one time, and whatever else it sent.
#pragma once

#include "common/json.h"
#include "ingest/arena.h"
#include "ingest/copy.h"
#include "ingest/flat.h"

#include <stdbool.h>
#include <stdint.h>

enum { READING_FIELDS = 12 };

struct reading {
	uint32_t present; // a bit for each field
	union {
		double real;
		int64_t integer;
		bool boolean;
		const char *text;
	} values[READING_FIELDS]; // in the order of READING_COLUMNS
	const char *custom;       // JSON object of all other members; NULL without
};

#define READING_COLUMNS                                                                                      \
	"battery_pct, charging, cpu_pct, load1, mem_total, mem_available, disk_total, disk_free, uptime_s, " \
	"network_type, rssi_dbm, temperature_c, custom"
enum { READING_COLUMN_COUNT = READING_FIELDS + 1 };

bool reading_parse(const struct json *object, struct arena *arena, struct reading *out, struct error *error) must_check;
// The same for a single member. False for anything but a known measurement that comes for the first time and is sound.
bool reading_take(const struct flat_member *member, struct arena *arena, struct reading *out) must_check;
// Takes over what newer has, and keeps the rest.
void reading_merge(struct reading *into, const struct reading *newer);
void reading_write(struct copy *copy, const struct reading *reading); // READING_COLUMN_COUNT fields of a row
