#include "agent/fingerprint.h"

#include "agent/system.h"
#include "common/buf.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INTERFACES_MAX 256

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

static char *first_mac(const char *root)
{
	char **interfaces auto_system_list = system_list(root, "/sys/class/net", INTERFACES_MAX);
	for (char **interface = interfaces; *interface; interface++) {
		int64_t assigned; // 0: NET_ADDR_PERM, burnt in
		if (!is_built_in(root, *interface) ||
		    !system_read_int(&assigned, root, "/sys/class/net/%s/addr_assign_type", *interface) ||
		    assigned != 0)
			continue;
		char *mac = system_read(root, "/sys/class/net/%s/address", *interface);
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

bool fingerprint_read(const char *root, char out[SHA256_HEX_BYTES], bool *hidden)
{
	static const char *const machine_paths[] = {"/etc/machine-id", "/var/lib/dbus/machine-id", NULL};
	static const char *const product_paths[] = {"/sys/class/dmi/id/product_uuid", NULL};
	static const char *const board_paths[] = {"/sys/class/dmi/id/board_serial",
						  "/sys/firmware/devicetree/base/serial-number", NULL};
	bool denied = false;
	char *machine auto_free = first_of(root, machine_paths, &denied);
	char *product auto_free = first_of(root, product_paths, &denied);
	char *board auto_free = first_of(root, board_paths, &denied);
	char *mac auto_free = first_mac(root);
	if (hidden)
		*hidden = denied;
	if (!machine && !product && !board && !mac)
		return false;

	struct buf text auto_buf = {0};
	buf_init(&text, 4 * ((size_t)SYSTEM_FILE_MAX_BYTES + 64));
	add(&text, "machine-id", machine);
	add(&text, "product-uuid", product);
	add(&text, "board-serial", board);
	add(&text, "mac", mac);
	crypto_sha256_hex(buf_str(&text), text.len_bytes, out);
	return true;
}
