#include "agent/collect.h"
#include "agent/system.h"

#include <stdlib.h>

static void collect(struct collect *collect, struct json *reading)
{
	char *text auto_free = system_read(collect->root, "/proc/loadavg");
	char *end = NULL;
	double load1 = text ? strtod(text, &end) : -1;
	if (text && end != text && load1 >= 0)
		json_set_double(reading, "load1", load1);
}

const struct collector collect_load = {"load", collect, .linux_only = false};
