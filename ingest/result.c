// Results of commands (docs/protocol.md, section 8). Ingest keeps what was sent; commander decides what it means.
#include "ingest/result.h"

#include "common/limits.h"
#include "common/result_text.h"
#include "common/signature.h"
#include "ingest/kind.h"

#include <string.h>

#define COMMAND_MAX 64 // ours are UUIDs; other senders' ids are kept as sent

static const char *const states[] = {"accepted", "running", "succeeded", "failed", "rejected", "cancelled"};

static bool is_state(const char *text)
{
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(text, states[i]) == 0)
			return true;
	return false;
}

static bool is_body_member(const char *name)
{
	return stamp_is_member(name) || strcmp(name, "command") == 0 || strcmp(name, "state") == 0;
}

// Kept as text, since a database does not give JSON back as it came. Whether it is the device's commander finds out.
static bool parse_signature(const struct json *object, const struct input *in, struct arena *arena,
			    struct result *result, struct error *error)
{
	const struct json *sig = json_member(object, "sig");
	struct buf text auto_buf = {0};
	const char *signature;
	if (!sig)
		return true;
	if (!json_as_string(sig, &signature) || !*signature || strlen(signature) >= SIGNATURE_TEXT_MAX)
		return error_set(error, ERROR_INVALID, "sig is not a string of 1 to %d bytes", SIGNATURE_TEXT_MAX - 1);
	buf_init(&text, RESULT_TEXT_MAX_BYTES);
	if (!result_text(in->device, object, &text))
		return error_set(error, ERROR_INVALID,
				 "a signed result has no member typ or device, and at most %d bytes",
				 RESULT_TEXT_MAX_BYTES);
	result->signed_text = arena_string(arena, buf_str(&text));
	return true;
}

static bool result_parse(const struct input *in, struct arena *arena, struct message *out, struct error *error)
{
	struct json *object auto_json = message_object(in, false, sizeof(struct result), arena, out, error);
	if (!object)
		return false;
	struct result *result = out->rows;
	const struct json *output = json_member(object, "output");
	const char *command;
	const char *state;
	if (!json_member_string(object, "command", &command) || !*command || strlen(command) > COMMAND_MAX)
		return error_set(error, ERROR_INVALID, "command is not a string of 1 to %d bytes", COMMAND_MAX);
	if (!json_member_string(object, "state", &state) || !is_state(state))
		return error_set(error, ERROR_INVALID,
				 "state is not one of accepted, running, succeeded, failed, rejected and cancelled");
	if (output && json_type(output) != JSON_OBJECT)
		return error_set(error, ERROR_INVALID, "output is not an object");
	if (!parse_signature(object, in, arena, result, error))
		return false;
	result->body = message_rest(object, is_body_member, arena);
	if (strlen(result->body) > 2 * (size_t)COMMAND_RESULT_MAX_BYTES) // output and reason, generously
		return error_set(error, ERROR_INVALID, "output is larger than %d bytes", COMMAND_RESULT_MAX_BYTES);
	result->command = arena_string(arena, command);
	result->state = arena_string(arena, state);
	return true;
}

static void result_write(struct copy *copy, const struct message *message, size_t row)
{
	const struct stamp *stamp = &message->stamps[row];
	const struct result *result = &((const struct result *)message->rows)[row];
	copy_row(copy, 10);
	copy_text(copy, message->device);
	copy_text(copy, stamp->epoch);
	copy_int8(copy, stamp->seq);
	copy_time(copy, stamp->ts_ms);
	copy_time(copy, message->received_ms);
	copy_text(copy, result->command);
	copy_text(copy, result->state);
	copy_json(copy, result->body);
	copy_text(copy, result->signed_text);
	copy_text(copy, result->signed_text ? "unchecked" : "unsigned");
}

#define COLUMNS "device, epoch, seq, ts, received_at, command, state, body, signed, verdict"

const struct kind result_kind = {
	.topic = TOPIC_RESULT,
	.parse = result_parse,
	.stage_sql = "create temporary table stage_command_result (like command_result)",
	.copy_sql = "truncate stage_command_result; copy stage_command_result (" COLUMNS ") from stdin (format binary)",
	.insert_sql = "insert into command_result (" COLUMNS ") select " COLUMNS
		      " from stage_command_result on conflict do nothing",
	.write = result_write,
	.repeated_sql = REPEATED_SQL("command_result", ""),
	.notify_sql = "notify muster_result",
};
