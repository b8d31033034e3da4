#include "tools/bench/machine.h"

#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static void read_processor(char *out, size_t out_bytes)
{
	char line[256];
	auto_fclose FILE *file = fopen("/proc/cpuinfo", "re");
	(void)snprintf(out, out_bytes, "unknown");
	while (file && fgets(line, sizeof(line), file)) {
		const char *value = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
		if (!value)
			continue;
		line[strcspn(line, "\n")] = '\0';
		(void)snprintf(out, out_bytes, "%s", value + 2);
		return;
	}
}

struct json *machine_describe(void)
{
	struct json *machine = json_new_object();
	struct utsname system;
	char processor[256];
	char now[CLOCK_RFC3339_BYTES];
	double load[1] = {0};
	read_processor(processor, sizeof(processor));
	json_set_string(machine, "processor", processor);
	json_set_int(machine, "cores", sysconf(_SC_NPROCESSORS_ONLN));
	json_set_int(machine, "memory_bytes", (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
	if (uname(&system) == 0)
		json_set_string(machine, "kernel", system.release);
	if (getloadavg(load, 1) == 1) // whether something else was running
		json_set_double(machine, "load_before", load[0]);
	clock_format_rfc3339(clock_wall_ms(), now);
	json_set_string(machine, "began_at", now);
	return machine;
}
