#include "agent/collect.h"
#include "agent/system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARPHRD_ETHERNET 1 // if_arp.h

// The interface of the IPv4 default route with the lowest metric. /proc/net/route: Iface Destination Gateway Flags
// RefCnt Use Metric Mask ...
static bool default_ipv4(const char *root, char interface[INTERFACE_NAME_MAX])
{
	char *text auto_free = system_read(root, "/proc/net/route");
	long best = -1;
	for (const char *line = text ? strchr(text, '\n') : NULL; line; line = strchr(line + 1, '\n')) {
		char name[INTERFACE_NAME_MAX];
		char destination[9];
		char mask[9];
		long metric;
		if (sscanf(line, " %15s %8s %*s %*s %*s %*s %ld %8s", // NOLINT(cert-err34-c): the kernel's own numbers
			   name, destination, &metric, mask) != 4)
			continue;
		if (strcmp(destination, "00000000") == 0 && strcmp(mask, "00000000") == 0 &&
		    (best < 0 || metric < best)) {
			best = metric;
			(void)snprintf(interface, INTERFACE_NAME_MAX, "%s", name);
		}
	}
	return best >= 0;
}

// /proc/net/ipv6_route: destination, its prefix length, ..., interface last; "lo" holds the reject routes.
static bool default_ipv6(const char *root, char interface[INTERFACE_NAME_MAX])
{
	char *text auto_free = system_read(root, "/proc/net/ipv6_route");
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		char destination[33];
		char length[3];
		char name[INTERFACE_NAME_MAX];
		if (sscanf(line, "%32s %2s %*s %*s %*s %*s %*s %*s %*s %15s", destination, length, name) == 3 &&
		    strspn(destination, "0") == 32 && strcmp(length, "00") == 0 && strcmp(name, "lo") != 0) {
			(void)snprintf(interface, INTERFACE_NAME_MAX, "%s", name);
			return true;
		}
	}
	return false;
}

static const char *type_of(const char *root, const char *interface)
{
	int64_t type = 0;
	char *uevent auto_free = system_read(root, "/sys/class/net/%s/uevent", interface);
	char *devtype auto_free = uevent ? system_field(uevent, "DEVTYPE", '=') : NULL;
	if (system_exists(root, "/sys/class/net/%s/wireless", interface) ||
	    system_exists(root, "/sys/class/net/%s/phy80211", interface) || (devtype && strcmp(devtype, "wlan") == 0))
		return "wifi";
	// rmnet is what Android's modems call theirs.
	if ((devtype && strcmp(devtype, "wwan") == 0) || strncmp(interface, "wwan", 4) == 0 ||
	    strncmp(interface, "rmnet", 5) == 0 || strncmp(interface, "ppp", 3) == 0)
		return "cellular";
	if (system_read_int(&type, root, "/sys/class/net/%s/type", interface) && type == ARPHRD_ETHERNET)
		return "ethernet";
	return "other";
}

// /proc/net/wireless, "  wlan0: 0000   54.  -56.  -256": the level in dBm when the driver gives one (then it is below
// 0).
static void add_signal(const char *root, const char *interface, struct json *reading)
{
	char *text auto_free = system_read(root, "/proc/net/wireless");
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += strspn(line, "\n ");
		size_t name_bytes = strcspn(line, ":\n");
		double level;
		if (name_bytes != strlen(interface) || strncmp(line, interface, name_bytes) != 0)
			continue;
		if (sscanf(line + name_bytes, ": %*x %*f %lf", &level) == 1 && // NOLINT(cert-err34-c): as above
		    level < 0 && level >= -200)
			json_set_double(reading, "rssi_dbm", level);
		return;
	}
}

static void collect(struct collect *collect, struct json *reading)
{
	char interface[INTERFACE_NAME_MAX];
	if (!default_ipv4(collect->root, interface) && !default_ipv6(collect->root, interface)) {
		json_set_string(reading, "network_type", "none");
		return;
	}
	json_set_string(reading, "network_type", type_of(collect->root, interface));
	add_signal(collect->root, interface, reading);
}

const struct collector collect_network = {"network", collect, .linux_only = true};
