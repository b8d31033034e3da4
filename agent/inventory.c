#include "agent/inventory.h"

#include "common/crypto.h"
#include "common/topic.h"

#include <stdio.h>
#include <string.h>

static const struct inventory *const kinds[] = {&inventory_hardware, &inventory_network, &inventory_software};

static bool report(const struct inventory *inventory, const struct platform *platform, struct outbox *outbox,
		   const char *device, int64_t wall_ms, struct error *error)
{
	struct json *content auto_json = json_new_object();
	if (!inventory->read(platform, content))
		return true;

	const char *text = json_text(content);
	char hash[SHA256_HEX_BYTES];
	crypto_sha256_hex(text, strlen(text), hash);
	char name[64];
	(void)snprintf(name, sizeof(name), "inventory.%s", inventory->kind);
	char *known auto_free = outbox_get(outbox, name);
	if (known && strcmp(known, hash) == 0)
		return true;

	char topic[TOPIC_MAX_BYTES];
	if (!topic_build(topic, TOPIC_INVENTORY, device, inventory->kind))
		return error_set(error, ERROR_FAILED, "there is no topic for the inventory of %s", inventory->kind);
	json_set_int(content, "ts", wall_ms);
	if (!outbox_begin(outbox, error))
		return false;
	if (outbox_push(outbox, topic, content, NULL, error) && outbox_set(outbox, name, hash, error))
		return outbox_commit(outbox, error);
	outbox_rollback(outbox);
	return false;
}

bool inventory_report(const struct platform *platform, struct outbox *outbox, const char *device, int64_t wall_ms,
		      struct error *error)
{
	bool ok = true;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		ok = report(kinds[i], platform, outbox, device, wall_ms, error) && ok;
	return ok;
}
