#include "agent/collect.h"

#include <stddef.h>

static const struct collector *const collectors[] = {
	&collect_battery, &collect_cpu,     &collect_disk,        &collect_load,
	&collect_memory,  &collect_network, &collect_temperature, &collect_uptime,
};

void collect_init(struct collect *collect, const char *root, const struct platform *platform)
{
	*collect = (struct collect){.root = root, .platform = platform};
	// The first reading counts from here.
	struct json *discarded auto_json = json_new_object();
	collect_cpu.collect(collect, discarded);
}

struct json *collect_reading(struct collect *collect, int64_t wall_ms)
{
	struct json *reading = json_new_object();
	json_set_int(reading, "ts", wall_ms);
	for (size_t i = 0; i < sizeof(collectors) / sizeof(collectors[0]); i++) {
		if (!collectors[i]->linux_only || !collect->platform->android)
			collectors[i]->collect(collect, reading);
	}
	platform_reading(collect->platform, reading);
	return reading;
}
