// Believable readings: batteries drain and charge, processors have busy spells, radios fade. Pure: the same seed and
// the same times give the same readings.
#pragma once

#include "common/buf.h"

#include <stdbool.h>
#include <stdint.h>

enum telemetry_profile {
	TELEMETRY_PHONE, // on battery, Wi-Fi or cellular
	TELEMETRY_KIOSK, // a tablet on its charger, Wi-Fi
	TELEMETRY_BOX,   // a small computer, no battery, Ethernet
};

struct telemetry {
	enum telemetry_profile profile;
	uint64_t random;
	int64_t last_ms, boot_ms;
	double battery_pct, drain_pct_per_h, charge_pct_per_h, charge_below_pct, charge_to_pct;
	bool charging;
	double cpu_pct, cpu_base_pct, cpu_spell_pct; // spell: the target of a busy spell, 0 outside one
	double load1;
	int cores;
	int64_t mem_total, disk_total;
	double mem_used_share, mem_base_share, disk_used_share;
	double rssi_dbm, rssi_base_dbm;
	double ambient_c, day_phase; // day_phase: of the daily curve, radians
	bool cellular;
};

struct reading {
	int64_t ts_ms;
	bool has_battery, charging;
	double battery_pct, cpu_pct, load1, rssi_dbm, temperature_c;
	bool has_rssi;
	int64_t mem_total, mem_available, disk_total, disk_free, uptime_s;
	const char *network_type;
};

void telemetry_init(struct telemetry *telemetry, uint64_t seed, int64_t now_ms);
void telemetry_rebooted(struct telemetry *telemetry, int64_t now_ms);
void telemetry_next(struct telemetry *telemetry, int64_t now_ms, struct reading *out);
// Appends one JSON object (docs/protocol.md section 4) with the custom member "check".
void telemetry_write(const struct reading *reading, const char *epoch, int64_t seq, uint64_t check, struct buf *out);
