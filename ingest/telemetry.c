// Telemetry: one reading, or an array of up to 100 (docs/protocol.md, section 4).
#include "common/limits.h"
#include "ingest/kind.h"

#include <string.h>

// All stamps first, so that a bad value still leaves them known.
static bool parse_stamps(const struct json *const *items, size_t count, const struct input *in, struct arena *arena,
			 struct message *out, struct error *error)
{
	bool ok = true;
	out->stamps = arena_alloc(arena, count * sizeof(*out->stamps));
	out->count = count;
	for (size_t i = 0; i < count; i++) {
		struct error later;
		if (!stamp_parse(items[i], in->received_ms, false, arena, &out->stamps[i], ok ? error : &later))
			ok = false;
	}
	return ok;
}

static bool parse_items(const struct json *const *items, size_t count, const struct input *in, struct arena *arena,
			struct message *out, struct error *error)
{
	for (size_t i = 0; i < count; i++)
		if (json_type(items[i]) != JSON_OBJECT)
			return error_set(error, ERROR_INVALID, "a reading is not a JSON object");
	if (!parse_stamps(items, count, in, arena, out, error))
		return false;
	struct reading *readings = arena_alloc(arena, count * sizeof(*readings));
	out->rows = readings;
	for (size_t i = 0; i < count; i++)
		if (!reading_parse(items[i], arena, &readings[i], error))
			return false;
	return true;
}

// One reading of known measurements and nothing else. False: it is to be read the thorough way.
static bool parse_plain(const struct input *in, struct arena *arena, struct message *out)
{
	struct flat flat = {.at = in->payload, .end = in->payload + in->payload_bytes};
	struct flat_member member;
	struct stamp stamp = {0};
	struct reading reading = {0};
	enum flat_step step;
	while ((step = flat_next(&flat, &member)) == FLAT_MEMBER)
		if (!reading_take(&member, arena, &reading) && !stamp_take(&member, arena, &stamp))
			return false;
	if (step != FLAT_END || !stamp_is_whole(&stamp))
		return false;
	struct reading *row = arena_alloc(arena, sizeof(*row));
	*row = reading;
	out->stamps = arena_alloc(arena, sizeof(*out->stamps));
	*out->stamps = stamp;
	out->rows = row;
	out->count = 1;
	return true;
}

static bool telemetry_parse(const struct input *in, struct arena *arena, struct message *out, struct error *error)
{
	if (parse_plain(in, arena, out))
		return true;
	struct json *json auto_json = json_parse(in->payload, in->payload_bytes, error);
	if (!json)
		return false;
	const struct json *items[READINGS_PER_MESSAGE_MAX] = {json};
	size_t count = 1;
	if (json_type(json) == JSON_ARRAY) {
		count = json_array_length(json);
		if (count < 1 || count > READINGS_PER_MESSAGE_MAX)
			return error_set(error, ERROR_INVALID, "an array of %zu readings; 1 to %d are allowed", count,
					 READINGS_PER_MESSAGE_MAX);
		for (size_t i = 0; i < count; i++)
			items[i] = json_array_at(json, i);
	}
	return parse_items(items, count, in, arena, out, error);
}

static void telemetry_tell(const struct message *message, size_t row, struct device_summary *device)
{
	const struct reading *reading = &((const struct reading *)message->rows)[row];
	// A clock that runs ahead must not outrank all that follows.
	int64_t ts_ms = message->stamps[row].measured_ms;
	if (ts_ms > message->received_ms)
		ts_ms = message->received_ms;
	device_summary_reading(device, reading, ts_ms);
}

static void telemetry_write(struct copy *copy, const struct message *message, size_t row)
{
	const struct stamp *stamp = &message->stamps[row];
	copy_row(copy, 6 + READING_COLUMN_COUNT);
	copy_text(copy, message->device);
	copy_text(copy, stamp->epoch);
	copy_int8(copy, stamp->seq);
	copy_time(copy, stamp->ts_ms);
	copy_time(copy, message->received_ms);
	copy_time(copy, stamp->measured_ms);
	reading_write(copy, &((const struct reading *)message->rows)[row]);
}

#define COLUMNS "device, epoch, seq, ts, received_at, measured_at, " READING_COLUMNS

const struct kind telemetry_kind = {
	.topic = TOPIC_TELEMETRY,
	.parse = telemetry_parse,
	.tell = telemetry_tell,
	.stage_sql = "create temporary table stage_telemetry (like telemetry)",
	.copy_sql = "truncate stage_telemetry; copy stage_telemetry (" COLUMNS ") from stdin (format binary)",
	.insert_sql = "insert into telemetry (" COLUMNS ") select " COLUMNS
		      " from stage_telemetry on conflict do nothing",
	.direct_sql = "copy telemetry (" COLUMNS ") from stdin (format binary)",
	.write = telemetry_write,
	.repeated_sql = REPEATED_SQL("telemetry", " and t.ts = s.ts"),
};
