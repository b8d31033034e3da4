// Inventories (docs/protocol.md, section 6).
#include "ingest/inventory.h"

#include "ingest/kind.h"

static bool inventory_parse(const struct input *in, struct arena *arena, struct message *out, struct error *error)
{
	struct json *object auto_json = message_object(in, false, sizeof(struct inventory), arena, out, error);
	if (!object)
		return false;
	struct inventory *inventory = out->rows;
	inventory->kind = arena_string(arena, in->detail);
	inventory->body = message_rest(object, stamp_is_member, arena);
	return true;
}

static void inventory_write(struct copy *copy, const struct message *message, size_t row)
{
	const struct inventory *inventory = &((const struct inventory *)message->rows)[row];
	copy_row(copy, 5);
	copy_text(copy, message->device);
	copy_text(copy, inventory->kind);
	copy_time(copy, message->stamps[row].measured_ms);
	copy_time(copy, message->received_ms);
	copy_json(copy, inventory->body);
}

#define COLUMNS "device, kind, ts, received_at, body"

const struct kind inventory_kind = {
	.topic = TOPIC_INVENTORY,
	.detail = "+",
	.parse = inventory_parse,
	.stage_sql = "create temporary table stage_inventory (like inventory)",
	.copy_sql = "truncate stage_inventory; copy stage_inventory (" COLUMNS ") from stdin (format binary)",
	// A redelivered older one does not replace a newer one; a clock that once ran ahead does not outrank all
	// that follows.
	.insert_sql = "insert into inventory (" COLUMNS ") select distinct on (device, kind) " COLUMNS
		      " from stage_inventory order by device, kind, ts desc on conflict (device, kind) do update "
		      "set ts = excluded.ts, received_at = excluded.received_at, body = excluded.body "
		      "where least(inventory.ts, inventory.received_at) <= least(excluded.ts, excluded.received_at)",
	.write = inventory_write,
};
