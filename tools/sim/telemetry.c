#include "tools/sim/telemetry.h"

#include <inttypes.h>
#include <math.h>

#define HOUR_MS 3600000.0
#define DAY_MS 86400000
#define GIB (1024LL * 1024 * 1024)

// splitmix64 (Steele, Lea, Flood 2014).
static uint64_t next_random(struct telemetry *telemetry)
{
	uint64_t z = telemetry->random += 0x9e3779b97f4a7c15U;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	return z ^ (z >> 31);
}

static double between(struct telemetry *telemetry, double low, double high)
{
	return low + (high - low) * ((double)(next_random(telemetry) >> 11) / 9007199254740992.0);
}

static double clamp(double value, double low, double high)
{
	return value < low ? low : (value > high ? high : value);
}

static void init_hardware(struct telemetry *telemetry)
{
	static const int64_t mem_gib[] = {2, 4, 6, 8};
	static const int64_t disk_gib[] = {32, 64, 128, 256};

	telemetry->cores = telemetry->profile == TELEMETRY_BOX ? 4 : 8;
	// Systems keep some of it for themselves.
	telemetry->mem_total = (int64_t)((double)(mem_gib[next_random(telemetry) % 4] * GIB) * 0.95);
	telemetry->disk_total = (int64_t)((double)(disk_gib[next_random(telemetry) % 4] * GIB) * 0.9);
	telemetry->mem_base_share = between(telemetry, 0.35, 0.75);
	telemetry->mem_used_share = telemetry->mem_base_share;
	telemetry->disk_used_share = between(telemetry, 0.2, 0.85);
	telemetry->cpu_base_pct = between(telemetry, 3, 25);
	telemetry->cpu_pct = telemetry->cpu_base_pct;
	telemetry->load1 = telemetry->cpu_pct / 100 * telemetry->cores;
}

void telemetry_init(struct telemetry *telemetry, uint64_t seed, int64_t now_ms)
{
	*telemetry = (struct telemetry){.random = seed, .last_ms = now_ms};
	uint64_t kind = next_random(telemetry) % 10;
	telemetry->profile = kind < 6 ? TELEMETRY_PHONE : (kind < 8 ? TELEMETRY_KIOSK : TELEMETRY_BOX);
	init_hardware(telemetry);
	telemetry->charging = telemetry->profile == TELEMETRY_KIOSK || next_random(telemetry) % 4 == 0;
	telemetry->battery_pct = telemetry->profile == TELEMETRY_KIOSK ? between(telemetry, 85, 100) :
									 between(telemetry, 15, 100);
	telemetry->drain_pct_per_h = between(telemetry, 4, 14);
	telemetry->charge_pct_per_h = between(telemetry, 30, 60);
	telemetry->charge_below_pct = between(telemetry, 8, 35);
	telemetry->charge_to_pct = between(telemetry, 88, 100);
	telemetry->rssi_base_dbm = between(telemetry, -80, -48);
	telemetry->rssi_dbm = telemetry->rssi_base_dbm;
	telemetry->cellular = telemetry->profile == TELEMETRY_PHONE && next_random(telemetry) % 3 == 0;
	telemetry->ambient_c = between(telemetry, 18, 30);
	telemetry->day_phase = between(telemetry, -0.5, 0.5);
	telemetry->boot_ms = now_ms - (int64_t)between(telemetry, 600000, 20.0 * DAY_MS);
}

void telemetry_rebooted(struct telemetry *telemetry, int64_t now_ms)
{
	telemetry->boot_ms = now_ms;
	telemetry->mem_used_share = telemetry->mem_base_share * 0.7;
}

static void step_battery(struct telemetry *telemetry, double hours)
{
	if (telemetry->profile == TELEMETRY_BOX)
		return;
	if (telemetry->charging) {
		// The last tenth goes slowly, as lithium cells do.
		double slow = telemetry->battery_pct > 90 ? 0.4 : 1;

		telemetry->battery_pct += telemetry->charge_pct_per_h * slow * hours;
	} else {
		telemetry->battery_pct -= telemetry->drain_pct_per_h * (0.6 + telemetry->cpu_pct / 60) * hours;
	}
	telemetry->battery_pct = clamp(telemetry->battery_pct, 1, 100);
	if (telemetry->profile == TELEMETRY_KIOSK)
		return;
	if (telemetry->charging && telemetry->battery_pct >= telemetry->charge_to_pct)
		telemetry->charging = false;
	else if (!telemetry->charging && telemetry->battery_pct <= telemetry->charge_below_pct)
		telemetry->charging = true;
}

static void step_load(struct telemetry *telemetry)
{
	if (telemetry->cpu_spell_pct > 0) {
		if (next_random(telemetry) % 6 == 0)
			telemetry->cpu_spell_pct = 0;
	} else if (next_random(telemetry) % 40 == 0) {
		telemetry->cpu_spell_pct = between(telemetry, 55, 97);
	}
	double target = telemetry->cpu_spell_pct > 0 ? telemetry->cpu_spell_pct : telemetry->cpu_base_pct;
	telemetry->cpu_pct += 0.4 * (target - telemetry->cpu_pct) + between(telemetry, -3, 3);
	telemetry->cpu_pct = clamp(telemetry->cpu_pct, 0.2, 100);
	telemetry->load1 += 0.3 * (telemetry->cpu_pct / 100 * telemetry->cores - telemetry->load1);
	telemetry->load1 = clamp(telemetry->load1, 0, 64);
	telemetry->mem_used_share += 0.1 * (telemetry->mem_base_share + telemetry->cpu_pct / 500 -
					    telemetry->mem_used_share) + between(telemetry, -0.01, 0.01);
	telemetry->mem_used_share = clamp(telemetry->mem_used_share, 0.1, 0.97);
}

static void step_slow(struct telemetry *telemetry, double hours)
{
	telemetry->disk_used_share += 0.002 * hours + between(telemetry, -0.00002, 0.00003);
	if (telemetry->disk_used_share > 0.95) // somebody tidied up
		telemetry->disk_used_share = between(telemetry, 0.4, 0.6);
	telemetry->disk_used_share = clamp(telemetry->disk_used_share, 0.05, 0.95);
	telemetry->rssi_dbm += 0.3 * (telemetry->rssi_base_dbm - telemetry->rssi_dbm) + between(telemetry, -3, 3);
	telemetry->rssi_dbm = clamp(telemetry->rssi_dbm, -100, -30);
	if (telemetry->profile == TELEMETRY_PHONE && next_random(telemetry) % 200 == 0)
		telemetry->cellular = !telemetry->cellular;
}

static double temperature(struct telemetry *telemetry, int64_t now_ms)
{
	double day = 2 * M_PI * (double)(now_ms % DAY_MS) / DAY_MS;
	double daily = -3 * cos(day + telemetry->day_phase);

	return telemetry->ambient_c + daily + telemetry->cpu_pct * 0.18 + (telemetry->charging ? 3 : 0) +
	       between(telemetry, -0.3, 0.3);
}

static const char *network_of(const struct telemetry *telemetry)
{
	if (telemetry->profile == TELEMETRY_BOX)
		return "ethernet";
	return telemetry->cellular ? "cellular" : "wifi";
}

void telemetry_next(struct telemetry *telemetry, int64_t now_ms, struct reading *out)
{
	// A clock that jumps back, or a long stop, must not make curves jump.
	double hours = clamp((double)(now_ms - telemetry->last_ms), 0, HOUR_MS) / HOUR_MS;

	telemetry->last_ms = now_ms;
	step_load(telemetry);
	step_battery(telemetry, hours);
	step_slow(telemetry, hours);
	*out = (struct reading){
		.ts_ms = now_ms,
		.has_battery = telemetry->profile != TELEMETRY_BOX,
		.charging = telemetry->charging,
		.battery_pct = telemetry->battery_pct,
		.cpu_pct = telemetry->cpu_pct,
		.load1 = telemetry->load1,
		.has_rssi = telemetry->profile != TELEMETRY_BOX,
		.rssi_dbm = telemetry->rssi_dbm,
		.temperature_c = temperature(telemetry, now_ms),
		.mem_total = telemetry->mem_total,
		.mem_available = (int64_t)((double)telemetry->mem_total * (1 - telemetry->mem_used_share)),
		.disk_total = telemetry->disk_total,
		.disk_free = (int64_t)((double)telemetry->disk_total * (1 - telemetry->disk_used_share)),
		.uptime_s = now_ms > telemetry->boot_ms ? (now_ms - telemetry->boot_ms) / 1000 : 0,
		.network_type = network_of(telemetry),
	};
}

void telemetry_write(const struct reading *reading, const char *epoch, int64_t seq, uint64_t check, struct buf *out)
{
	buf_addf(out, "{\"epoch\":\"%s\",\"seq\":%" PRId64 ",\"ts\":%" PRId64, epoch, seq, reading->ts_ms);
	if (reading->has_battery)
		buf_addf(out, ",\"battery_pct\":%.1f,\"charging\":%s", reading->battery_pct,
			 reading->charging ? "true" : "false");
	buf_addf(out, ",\"cpu_pct\":%.1f,\"load1\":%.2f", reading->cpu_pct, reading->load1);
	buf_addf(out, ",\"mem_total\":%" PRId64 ",\"mem_available\":%" PRId64, reading->mem_total,
		 reading->mem_available);
	buf_addf(out, ",\"disk_total\":%" PRId64 ",\"disk_free\":%" PRId64 ",\"uptime_s\":%" PRId64,
		 reading->disk_total, reading->disk_free, reading->uptime_s);
	buf_addf(out, ",\"network_type\":\"%s\"", reading->network_type);
	if (reading->has_rssi)
		buf_addf(out, ",\"rssi_dbm\":%.0f", reading->rssi_dbm);
	buf_addf(out, ",\"temperature_c\":%.1f,\"check\":\"%016" PRIx64 "\"}", reading->temperature_c, check);
}
