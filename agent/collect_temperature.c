#include "agent/collect.h"
#include "agent/system.h"

#define ZONES_MAX 64
#define PLAUSIBLE_MIN_MC (-60000) // millidegrees; an unconnected sensor says -273200 or 0x7fff
#define PLAUSIBLE_MAX_MC 150000

// The hottest zone: which of them is the processor's has a different name on every board.
static void collect(struct collect *collect, struct json *reading)
{
	char **zones auto_system_list = system_list(collect->root, "/sys/class/thermal", ZONES_MAX);
	int64_t hottest = PLAUSIBLE_MIN_MC;
	for (char **zone = zones; *zone; zone++) {
		int64_t millidegrees;
		if (system_read_int(&millidegrees, collect->root, "/sys/class/thermal/%s/temp", *zone) &&
		    millidegrees > hottest && millidegrees < PLAUSIBLE_MAX_MC)
			hottest = millidegrees;
	}
	if (hottest > PLAUSIBLE_MIN_MC)
		json_set_double(reading, "temperature_c", (double)hottest / 1000);
}

const struct collector collect_temperature = {"temperature", collect, .linux_only = false};
