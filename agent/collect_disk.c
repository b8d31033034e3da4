#include "agent/collect.h"

#include <sys/statvfs.h>

// The root file system, as any user sees it: free is what is left without the part reserved for root.
static void collect(struct collect *collect, struct json *reading)
{
	struct statvfs fs;
	if (statvfs(*collect->root ? collect->root : "/", &fs) < 0)
		return;
	json_set_int(reading, "disk_total", (int64_t)(fs.f_blocks * fs.f_frsize));
	json_set_int(reading, "disk_free", (int64_t)(fs.f_bavail * fs.f_frsize));
}

const struct collector collect_disk = {"disk", collect, .linux_only = true};
