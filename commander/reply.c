#include "commander/reply.h"

#include "common/clock.h"
#include "common/json.h"

#include <stdlib.h>
#include <string.h>

static void add(struct buf *out, const char *name, const char *value)
{
	if (!value || value[0] == '\0')
		return;
	(void)buf_addf(out, "%s\"%s\":", out->len_bytes > 1 ? "," : "", name);
	(void)json_quote(out, value);
}

void reply_state_json(const struct reply_state *state, struct buf *out)
{
	char at[CLOCK_RFC3339_BYTES];

	clock_format_rfc3339(state->at_ms, at);
	(void)buf_add_str(out, "{");
	add(out, "request", state->request);
	add(out, "command", state->command);
	add(out, "device", state->device);
	add(out, "action", state->action);
	add(out, "state", state->state);
	add(out, "at", at);
	add(out, "reason", state->reason);
	if (state->output)
		(void)buf_addf(out, ",\"output\":%s", state->output);
	(void)buf_add_str(out, "}");
}

void reply_refusal_json(const char *request, const char *what, const char *detail, struct buf *out)
{
	(void)buf_add_str(out, "{");
	add(out, "request", request);
	add(out, "error", what);
	add(out, "detail", detail);
	(void)buf_add_str(out, "}");
}

void reply_cancel_json(const char *request, const char *command, struct buf *out)
{
	(void)buf_add_str(out, "{");
	add(out, "request", request);
	add(out, "cancelling", command);
	(void)buf_add_str(out, "}");
}

// hex as PostgreSQL's encode() writes it. malloc'd.
static void *from_hex(const char *hex, size_t *len_bytes)
{
	size_t size = hex ? strlen(hex) / 2 : 0;
	unsigned char *out = size > 0 ? malloc(size) : NULL;

	*len_bytes = out ? size : 0;
	for (size_t i = 0; i < *len_bytes; i++) {
		const char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		out[i] = (unsigned char)strtoul(pair, NULL, 16);
	}
	return out;
}

bool reply_moved(struct outgoing *outgoing, const struct pg_result *moved, size_t row, struct error *error)
{
	auto_buf struct buf text = {0};
	auto_free void *correlation = NULL;
	struct outgoing_message message = {.topic = pg_text(moved, row, MOVED_REPLY_TOPIC), .keep = true};
	struct reply_state state = {
		.request = pg_text(moved, row, MOVED_REQUEST_ID),
		.command = pg_text(moved, row, MOVED_COMMAND),
		.device = pg_text(moved, row, MOVED_DEVICE),
		.action = pg_text(moved, row, MOVED_ACTION),
		.state = pg_text(moved, row, MOVED_STATE),
		.at_ms = pg_int(moved, row, MOVED_AT_MS),
	};
	enum command_state now;

	// The row shows the command after its last move; earlier moves have neither reason nor output yet.
	if (command_state_parse(state.state, &now) && command_state_is_final(now)) {
		state.reason = pg_text(moved, row, MOVED_REASON);
		state.output = pg_text(moved, row, MOVED_RESULT);
	}
	buf_init(&text, REPLY_MAX_BYTES);
	reply_state_json(&state, &text);
	if (text.overflowed)
		return error_set(error, ERROR_LIMIT, "the reply for command %s is too large", state.command);
	message.payload = buf_str(&text);
	correlation = from_hex(pg_text(moved, row, MOVED_CORRELATION), &message.correlation_bytes);
	message.correlation = correlation;
	return outgoing_add(outgoing, &message) ||
	       error_set(error, ERROR_LIMIT, "too many messages wait to be published");
}
