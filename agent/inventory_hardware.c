#include "agent/inventory.h"
#include "agent/system.h"

#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static void add(struct json *content, const char *name, const char *value)
{
	if (value && *value)
		json_set_string(content, name, value);
}

static void add_file(struct json *content, const char *name, const char *root, const char *path)
{
	char *text auto_free = system_read(root, "%s", path);
	add(content, name, text);
}

static void add_os(struct json *content, const char *root)
{
	char *release auto_free = system_read(root, "/etc/os-release"); // os-release(5)
	if (!release)
		return;
	char *id auto_free = system_field(release, "ID", '=');
	char *name auto_free = system_field(release, "PRETTY_NAME", '=');
	char *version auto_free = system_field(release, "VERSION_ID", '=');
	add(content, "os", id);
	add(content, "os_name", name);
	add(content, "os_version", version);
}

static int64_t count_lines(const char *text, const char *start)
{
	int64_t count = 0;
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		count += strncmp(line, start, strlen(start)) == 0;
	}
	return count;
}

static void add_cpu(struct json *content, const char *root)
{
	char *text auto_free = system_read(root, "/proc/cpuinfo");
	if (!text)
		return;
	char *model auto_free = system_field(text, "model name", ':'); // x86
	char *board auto_free = system_field(text, "Hardware", ':');   // 32-bit ARM, many Android devices
	add(content, "cpu_model", model ? model : board);
	int64_t count = count_lines(text, "processor");
	if (count > 0)
		json_set_int(content, "cpu_count", count);
}

static void add_memory(struct json *content, const char *root)
{
	char *text auto_free = system_read(root, "/proc/meminfo");
	char *total auto_free = text ? system_field(text, "MemTotal", ':') : NULL;
	if (total)
		json_set_int(content, "mem_total", strtoll(total, NULL, 10) * 1024);
}

// What Android's properties say counts for more than what is pieced together from /proc.
static void add_properties(struct json *content, const struct json *hardware)
{
	struct json_iterator member = json_begin(hardware);
	while (json_next(&member))
		json_set(content, member.name, json_copy(member.value));
}

static bool read_hardware(const struct platform *platform, struct json *content)
{
	const char *root = platform->root;
	struct utsname system;
	add_file(content, "hostname", root, "/proc/sys/kernel/hostname");
	add_os(content, root);
	add_file(content, "kernel", root, "/proc/sys/kernel/osrelease");
	if (uname(&system) == 0)
		json_set_string(content, "architecture", system.machine);
	add_cpu(content, root);
	add_memory(content, root);
	add_file(content, "vendor", root, "/sys/class/dmi/id/sys_vendor");
	if (system_exists(root, "/sys/class/dmi/id/product_name"))
		add_file(content, "product", root, "/sys/class/dmi/id/product_name");
	else
		add_file(content, "product", root, "/sys/firmware/devicetree/base/model");
	if (platform->hardware)
		add_properties(content, platform->hardware);
	json_set_string(content, "agent_version", MUSTER_VERSION);
	return true;
}

const struct inventory inventory_hardware = {"hardware", read_hardware};
