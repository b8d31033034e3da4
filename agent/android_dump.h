// What Android's own programs print about the device, taken apart. Pure; written for Android 8 to 14, and for makers
// who add lines of their own: what is not found is left out.
#pragma once

#include "common/json.h"

#include <stdbool.h>
#include <stdint.h>

#define ANDROID_PACKAGES_MAX 2000 // a message takes no more; a telephone has some 400
#define ANDROID_PROPERTY_MAX 256  // bytes of a value that is looked at

struct android_battery {
	bool present;
	bool charging;
	double level_pct;
	bool has_temperature;
	double temperature_c;
};

// `dumpsys battery`. False when it says nothing of a level.
bool android_battery_parse(const char *text, struct android_battery *out) must_check;

struct android_network {
	const char *type;   // as in telemetry: "wifi", "cellular", "ethernet", "bluetooth", "other" or "none"
	bool has_signal;
	int64_t signal_dbm; // Wi-Fi: RSSI
};

// `dumpsys connectivity`: the network that is the default now. False when it does not tell.
bool android_network_parse(const char *text, struct android_network *out) must_check;
// `dumpsys telephony.registry`: the level that Android shows its user: NR and LTE RSRP, WCDMA RSCP, GSM RSSI.
bool android_signal_parse(const char *text, int64_t *dbm) must_check;

// `getprop`: lines "[name]: [value]"; a value may go on over several. False without that property.
bool android_property(const char *text, const char *name, char out[ANDROID_PROPERTY_MAX]) must_check;
// The board's serial number.
bool android_serial(const char *text, char out[ANDROID_PROPERTY_MAX]) must_check;
// What is the same as long as nothing changes on the device.
void android_hardware(const char *text, struct json *content);

// `pm list packages -f --show-versioncode`, as "packages" sorted by name, for their order is another each time.
// truncated: the text has an end missing.
void android_packages(const char *text, bool truncated, struct json *content);
