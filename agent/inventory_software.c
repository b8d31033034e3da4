#include "agent/inventory.h"

static bool read_software(const struct platform *platform, struct json *content)
{
	if (!platform->software)
		return false;
	struct json_iterator member = json_begin(platform->software);
	while (json_next(&member))
		json_set(content, member.name, json_copy(member.value));
	return true;
}

const struct inventory inventory_software = {"software", read_software};
