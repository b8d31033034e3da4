// Chunks of what running commands print (docs/protocol.md, section 17). The same chunk is stored once, whatever number
// it comes with.
#include "ingest/output.h"

#include "common/limits.h"
#include "ingest/kind.h"

#include <string.h>

static bool take_flag(const struct json *object, const char *name, bool *out, struct error *error)
{
	return !json_member(object, name) || json_member_bool(object, name, out) ||
	       error_set(error, ERROR_INVALID, "%s is neither true nor false", name);
}

static bool output_parse(const struct input *in, struct arena *arena, struct message *out, struct error *error)
{
	struct json *object auto_json = message_object(in, false, sizeof(struct output), arena, out, error);
	if (!object)
		return false;
	struct output *output = out->rows;
	const char *command;
	const char *data;
	int64_t n;
	if (!json_member_string(object, "command", &command) || strcmp(command, in->detail) != 0)
		return error_set(error, ERROR_INVALID, "command is not the id that the topic ends in");
	if (!json_member_int(object, "n", &n) || n < 0 || n > STREAM_CHUNKS_MAX)
		return error_set(error, ERROR_INVALID, "n is not an integer from 0 to %d", STREAM_CHUNKS_MAX);
	if (!json_member_string(object, "data", &data) || strlen(data) > STREAM_DATA_MAX_BYTES)
		return error_set(error, ERROR_INVALID, "data is not a string of up to %d bytes", STREAM_DATA_MAX_BYTES);
	if (!take_flag(object, "end", &output->last, error) || !take_flag(object, "cut", &output->cut, error))
		return false;
	output->command = arena_string(arena, command);
	output->n = (int32_t)n;
	output->data = arena_string(arena, data);
	return true;
}

static void output_write(struct copy *copy, const struct message *message, size_t row)
{
	const struct stamp *stamp = &message->stamps[row];
	const struct output *output = &((const struct output *)message->rows)[row];
	copy_row(copy, 10);
	copy_text(copy, message->device);
	copy_text(copy, output->command);
	copy_int4(copy, output->n);
	copy_text(copy, stamp->epoch);
	copy_int8(copy, stamp->seq);
	copy_time(copy, stamp->ts_ms);
	copy_time(copy, message->received_ms);
	copy_text(copy, output->data);
	copy_bool(copy, output->last);
	copy_bool(copy, output->cut);
}

#define COLUMNS "device, command, n, epoch, seq, ts, received_at, data, last, cut"

const struct kind output_kind = {
	.topic = TOPIC_STREAM,
	.detail = "+",
	.parse = output_parse,
	.stage_sql = "create temporary table stage_command_output (like command_output) on commit delete rows",
	.copy_sql = "copy stage_command_output (" COLUMNS ") from stdin (format binary)",
	.insert_sql = "insert into command_output (" COLUMNS ") select " COLUMNS
		      " from stage_command_output on conflict do nothing",
	.write = output_write,
	.repeated_sql = REPEATED_SQL("command_output", " and t.command = s.command and t.n = s.n"),
};
