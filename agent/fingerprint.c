#include "agent/fingerprint.h"

#include "agent/platform.h"
#include "agent/system.h"
#include "common/buf.h"

#include <ctype.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define INTERFACES_MAX 256
#define MAC_BYTES 6

static char *first_of(const char *root, const char *const *paths, bool *hidden)
{
	for (; *paths; paths++) {
		errno = 0;
		char *text = system_read(root, "%s", *paths);
		if (text && *text)
			return text;
		if (!text && (errno == EACCES || errno == EPERM))
			*hidden = true;
		free(text);
	}
	return NULL;
}

// Built in: not virtual, and not on USB, where an adapter comes and goes.
static bool is_built_in(const char *root, const char *interface)
{
	char *device auto_free = system_link(root, "/sys/class/net/%s", interface);
	return system_exists(root, "/sys/class/net/%s/device", interface) &&
	       !(device && (strstr(device, "/virtual/") || strstr(device, "/usb")));
}

static char *ask_driver(const char *interface)
{
	union {
		struct ethtool_perm_addr head;
		unsigned char bytes[sizeof(struct ethtool_perm_addr) + MAC_BYTES];
	} answer = {.head = {.cmd = ETHTOOL_GPERMADDR, .size = MAC_BYTES}};
	struct ifreq request = {.ifr_data = (char *)&answer};
	const unsigned char *mac = answer.head.data;
	char *text = NULL;
	int fd auto_close = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	if (fd < 0 || ioctl(fd, SIOCETHTOOL, &request) < 0 || answer.head.size != MAC_BYTES ||
	    asprintf(&text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]) < 0)
		return NULL;
	return text;
}

// As the hardware has it, whatever address was set since: a bond gives its members one address, and wireless cards are
// given random ones. NULL when it can't be told.
static char *permanent_mac(const char *root, const char *interface)
{
	int64_t assigned;
	char *mac = system_read(root, "/sys/class/net/%s/bonding_slave/perm_hwaddr", interface);
	if (!mac)
		mac = system_read(root, "/sys/class/net/%s/phy80211/macaddress", interface);
	if (mac)
		return mac;
	if (system_read_int(&assigned, root, "/sys/class/net/%s/addr_assign_type", interface) && assigned == 0)
		return system_read(root, "/sys/class/net/%s/address", interface); // NET_ADDR_PERM, burnt in
	return *root ? NULL : ask_driver(interface);
}

static char *first_mac(const char *root)
{
	char **interfaces auto_system_list = system_list(root, "/sys/class/net", INTERFACES_MAX);
	for (char **interface = interfaces; *interface; interface++) {
		char *mac = is_built_in(root, *interface) ? permanent_mac(root, *interface) : NULL;
		if (mac && *mac && strcmp(mac, "00:00:00:00:00:00") != 0)
			return mac;
		free(mac);
	}
	return NULL;
}

static void add(struct buf *text, const char *name, const char *value)
{
	(void)buf_addf(text, "%s=", name);
	for (const char *c = value ? value : ""; *c; c++) {
		char lower = (char)tolower((unsigned char)*c);
		if (!isspace((unsigned char)*c))
			(void)buf_add(text, &lower, 1);
	}
	(void)buf_add_str(text, "\n");
}

struct part {
	enum fingerprint_part flag;
	const char *key, *name; // in the hashed text, and for people
};

static const struct part parts_table[] = {
	{FINGERPRINT_MACHINE, "machine-id", "machine id"},
	{FINGERPRINT_PRODUCT, "product-uuid", "product UUID"},
	{FINGERPRINT_BOARD, "board-serial", "board serial"},
	{FINGERPRINT_MAC, "mac", "first MAC address"},
};

#define PARTS (sizeof(parts_table) / sizeof(parts_table[0]))

struct reading {
	char *values[PARTS]; // NULL or not empty
	unsigned there;
	bool hidden;
};

static void reading_done(struct reading *reading)
{
	for (size_t i = 0; i < PARTS; i++)
		free(reading->values[i]);
}

static void read_parts(const char *root, struct reading *out)
{
	static const char *const machine_paths[] = {"/etc/machine-id", "/var/lib/dbus/machine-id", NULL};
	static const char *const product_paths[] = {"/sys/class/dmi/id/product_uuid", NULL};
	static const char *const board_paths[] = {"/sys/class/dmi/id/board_serial",
						  "/sys/firmware/devicetree/base/serial-number", NULL};
	*out = (struct reading){0};
	out->values[2] = platform_serial(root);
	if (out->values[2]) { // Android: it gives its network cards another MAC from time to time
		out->there = FINGERPRINT_BOARD;
		return;
	}
	out->values[0] = first_of(root, machine_paths, &out->hidden);
	out->values[1] = first_of(root, product_paths, &out->hidden);
	out->values[2] = first_of(root, board_paths, &out->hidden);
	out->values[3] = first_mac(root);
	for (size_t i = 0; i < PARTS; i++)
		out->there |= out->values[i] ? parts_table[i].flag : 0;
}

static void hash(const struct reading *reading, unsigned parts, char out[SHA256_HEX_BYTES])
{
	struct buf text auto_buf = {0};
	buf_init(&text, PARTS * ((size_t)SYSTEM_FILE_MAX_BYTES + 64));
	for (size_t i = 0; i < PARTS; i++)
		add(&text, parts_table[i].key, parts & parts_table[i].flag ? reading->values[i] : NULL);
	crypto_sha256_hex(buf_str(&text), text.len_bytes, out);
}

unsigned fingerprint_of(const char *root, unsigned *parts, char out[SHA256_HEX_BYTES])
{
	struct reading reading cleanup(reading_done);
	read_parts(root, &reading);
	if (*parts == 0)
		*parts = reading.there;
	out[0] = '\0';
	if (*parts != 0)
		hash(&reading, *parts, out);
	return *parts & ~reading.there;
}

const char *fingerprint_part_name(unsigned parts)
{
	for (size_t i = 0; i < PARTS; i++) {
		if (parts & parts_table[i].flag)
			return parts_table[i].name;
	}
	return "unknown part";
}

bool fingerprint_read(const char *root, char out[SHA256_HEX_BYTES], bool *hidden)
{
	struct reading reading cleanup(reading_done);
	read_parts(root, &reading);
	if (hidden)
		*hidden = reading.hidden;
	if (reading.there == 0)
		return false;
	hash(&reading, reading.there, out);
	return true;
}
