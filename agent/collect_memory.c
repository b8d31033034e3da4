#include "agent/collect.h"
#include "agent/system.h"

#include <stdlib.h>

static void add(struct json *reading, const char *member, const char *text, const char *field)
{
	char *value auto_free = system_field(text, field, ':'); // "16316412 kB"
	if (value)
		json_set_int(reading, member, strtoll(value, NULL, 10) * 1024);
}

static void collect(struct collect *collect, struct json *reading)
{
	char *text auto_free = system_read(collect->root, "/proc/meminfo");
	if (!text)
		return;
	add(reading, "mem_total", text, "MemTotal");
	add(reading, "mem_available", text, "MemAvailable");
}

const struct collector collect_memory = {"memory", collect, .linux_only = false};
