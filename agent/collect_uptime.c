#include "agent/collect.h"
#include "agent/system.h"

#include <stdlib.h>

int64_t collect_uptime_s(const char *root)
{
	char *text auto_free = system_read(root, "/proc/uptime");
	char *end = NULL;
	double seconds = text ? strtod(text, &end) : -1;
	return text && end != text && seconds >= 0 ? (int64_t)seconds : -1;
}

static void collect(struct collect *collect, struct json *reading)
{
	int64_t uptime_s = collect_uptime_s(collect->root);
	if (uptime_s >= 0)
		json_set_int(reading, "uptime_s", uptime_s);
}

const struct collector collect_uptime = {"uptime", collect, .linux_only = false};
