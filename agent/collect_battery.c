#include "agent/collect.h"
#include "agent/system.h"

#include <string.h>

#define SUPPLIES_MAX 32

// A mouse or a headset reports its battery here too, with scope "Device".
static bool is_battery(const char *root, const char *supply)
{
	char *type auto_free = system_read(root, "/sys/class/power_supply/%s/type", supply);
	char *scope auto_free = system_read(root, "/sys/class/power_supply/%s/scope", supply);
	return type && strcmp(type, "Battery") == 0 && !(scope && strcmp(scope, "Device") == 0);
}

static void collect(struct collect *collect, struct json *reading)
{
	char **supplies auto_system_list = system_list(collect->root, "/sys/class/power_supply", SUPPLIES_MAX);
	int64_t sum = 0;
	int64_t count = 0;
	bool charging = false;
	for (char **supply = supplies; *supply; supply++) {
		int64_t capacity;
		if (!is_battery(collect->root, *supply) ||
		    !system_read_int(&capacity, collect->root, "/sys/class/power_supply/%s/capacity", *supply))
			continue;
		sum += capacity < 0 ? 0 : capacity > 100 ? 100 : capacity; // some fuel gauges overshoot
		count++;
		char *status auto_free = system_read(collect->root, "/sys/class/power_supply/%s/status", *supply);
		charging = charging || (status && strcmp(status, "Charging") == 0);
	}
	if (count == 0)
		return;
	json_set_double(reading, "battery_pct", (double)sum / (double)count);
	json_set_bool(reading, "charging", charging);
}

const struct collector collect_battery = {"battery", collect, .linux_only = true};
