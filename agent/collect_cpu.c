#include "agent/collect.h"
#include "agent/system.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

// proc(5), /proc/stat: guest time is contained in user time, so the first eight columns are all there is.
static void collect(struct collect *collect, struct json *reading)
{
	char *text auto_free = system_read(collect->root, "/proc/stat");
	uint64_t user;
	uint64_t nice;
	uint64_t kernel;
	uint64_t idle;
	uint64_t iowait;
	uint64_t irq;
	uint64_t softirq;
	uint64_t steal_ticks;
	if (!text || sscanf(text, // NOLINT(cert-err34-c): the kernel's own numbers, and the count is checked
			    "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
			    " %" SCNu64, &user, &nice, &kernel, &idle, &iowait, &irq, &softirq, &steal_ticks) != 8)
		return;

	uint64_t busy = user + nice + kernel + irq + softirq + steal_ticks;
	uint64_t total = busy + idle + iowait;
	// iowait may run backwards by a little (proc(5)); such a reading is left out.
	if (collect->cpu_total > 0 && total > collect->cpu_total && busy >= collect->cpu_busy &&
	    busy - collect->cpu_busy <= total - collect->cpu_total) {
		double share = (double)(busy - collect->cpu_busy) / (double)(total - collect->cpu_total);
		json_set_double(reading, "cpu_pct", round(share * 1000) / 10);
	}
	collect->cpu_busy = busy;
	collect->cpu_total = total;
}

const struct collector collect_cpu = {"cpu", collect, .linux_only = false};
