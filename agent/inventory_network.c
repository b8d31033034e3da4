#include "agent/inventory.h"
#include "agent/system.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define INTERFACES_MAX 64
#define ADDRESSES_MAX 32 // of one interface and family

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

// Sorted: the kernel lists IPv6 addresses in the order of their making, newest first.
static void add_addresses(struct json *entry, const char *member, const struct ifaddrs *all, const char *interface,
			  int family)
{
	char texts[ADDRESSES_MAX][NI_MAXHOST];
	size_t count = 0;
	socklen_t bytes = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	for (const struct ifaddrs *at = all; at && count < ADDRESSES_MAX; at = at->ifa_next) {
		if (!at->ifa_addr || at->ifa_addr->sa_family != family || strcmp(at->ifa_name, interface) != 0)
			continue;
		if (getnameinfo(at->ifa_addr, bytes, texts[count], NI_MAXHOST, NULL, 0, NI_NUMERICHOST) != 0)
			continue;
		texts[count][strcspn(texts[count], "%")] = '\0'; // the scope is the interface, which is said already
		count++;
	}
	if (count == 0)
		return;
	qsort(texts, count, sizeof(texts[0]), by_text);
	struct json *list = json_new_array();
	for (size_t i = 0; i < count; i++)
		json_append_string(list, texts[i]);
	json_set(entry, member, list);
}

// Pairs of container interfaces come and go by the second, and are none of the machine's hardware.
static bool is_fleeting(const char *interface)
{
	return strcmp(interface, "lo") == 0 || strncmp(interface, "veth", 4) == 0;
}

static bool read_network(const struct platform *platform, struct json *content)
{
	const char *root = platform->root;
	// Addresses are not to be had from files: with recorded files they are left out.
	struct ifaddrs *addresses = NULL;
	if (!*root && getifaddrs(&addresses) < 0)
		addresses = NULL;

	struct json *list = json_new_array();
	char **interfaces auto_system_list = system_list(root, "/sys/class/net", INTERFACES_MAX);
	for (char **interface = interfaces; *interface; interface++) {
		int64_t mtu;
		if (is_fleeting(*interface))
			continue;
		struct json *entry = json_new_object();
		json_set_string(entry, "name", *interface);
		char *mac auto_free = system_read(root, "/sys/class/net/%s/address", *interface);
		if (mac && *mac)
			json_set_string(entry, "mac", mac);
		char *state auto_free = system_read(root, "/sys/class/net/%s/operstate", *interface);
		if (state && *state)
			json_set_string(entry, "state", state);
		if (system_read_int(&mtu, root, "/sys/class/net/%s/mtu", *interface))
			json_set_int(entry, "mtu", mtu);
		add_addresses(entry, "ipv4", addresses, *interface, AF_INET);
		add_addresses(entry, "ipv6", addresses, *interface, AF_INET6);
		json_append(list, entry);
	}
	json_set(content, "interfaces", list);
	if (addresses)
		freeifaddrs(addresses);
	return true;
}

const struct inventory inventory_network = {"network", read_network};
