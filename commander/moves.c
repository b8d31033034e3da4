#include "commander/moves.h"

#include "commander/reply.h"

#include "common/topic.h"

#include <stdio.h>
#include <string.h>

bool moves_publish(struct commander *commander, const char *device, const char *jws, const char *request_id,
		   struct error *error)
{
	char topic[TOPIC_MAX_BYTES];
	struct outgoing_message message = {.topic = topic, .payload = jws};

	if (!topic_build(topic, TOPIC_COMMAND, device, NULL))
		return error_set(error, ERROR_INVALID, "\"%.63s\" is no device id", device);
	if (request_id && request_id[0] != '\0')
		message.request_id = request_id;
	return outgoing_add(&commander->outgoing, &message) ||
	       error_set(error, ERROR_LIMIT, "too many messages wait to be published");
}

static void count_move(struct commander *commander, enum command_state state)
{
	char labels[64];

	(void)snprintf(labels, sizeof(labels), "state=\"%s\"", command_state_name(state));
	metric_add(
		metrics_counter(commander->metrics, "muster_commands_total", labels, "Commands that came into a state"),
		1);
}

// Whether a command of the device may go now: this one, or the one behind it.
static bool may_free(const struct transition *move)
{
	return move->to == STATE_QUEUED ? move->next_ms == 0 || move->from == STATE_SENT
					: command_state_is_final(move->to) && move->from != STATE_REQUESTED;
}

static bool follow(struct commander *commander, const struct pg_result *moved, size_t row,
		   const struct transition *move, struct error *error)
{
	const char *device = pg_text(moved, row, MOVED_DEVICE);
	const char *request_id = pg_text(moved, row, MOVED_REQUEST_ID);
	const char *reason = command_state_is_final(move->to) ? pg_text(moved, row, MOVED_REASON) : NULL;

	if (move->to == STATE_SENT &&
	    !moves_publish(commander, device, pg_text(moved, row, MOVED_JWS), request_id, error))
		return false;
	if (pg_text(moved, row, MOVED_REPLY_TOPIC) && !reply_moved(&commander->outgoing, moved, row, error))
		return false;
	if (move->to == STATE_SENT)
		wake_sent(&commander->wake, device);
	else if (strcmp(move->cause, "result") == 0)
		wake_contact(&commander->wake, device);
	if (may_free(move) && !devices_add(&commander->freed, device))
		commander->due |= DUE_DISPATCH;
	if (!campaign_note(&commander->campaigns, pg_text(moved, row, MOVED_CAMPAIGN), move->from, move->to))
		return error_set(error, ERROR_LIMIT, "the commands of too many campaigns moved at once");
	count_move(commander, move->to);
	log_write(command_state_is_final(move->to) || move->to == STATE_SENT ? LOG_INFO : LOG_DEBUG, "command.moved",
		  "command", move->command, "device", device, "action", pg_text(moved, row, MOVED_ACTION), "state",
		  command_state_name(move->to), "cause", move->cause, "reason", reason && reason[0] ? reason : NULL,
		  "request_id", request_id && request_id[0] ? request_id : NULL, (const char *)NULL);
	return true;
}

bool moves_make(struct commander *commander, const struct transition *moves, size_t count, bool *made,
		struct error *error)
{
	auto_pg_result struct pg_result *moved = NULL;

	if (count == 0)
		return true;
	if (!transition_apply(commander->pg, moves, count, &moved, error))
		return false;
	for (size_t row = 0; row < pg_rows(moved); row++) {
		size_t index = (size_t)pg_int(moved, row, MOVED_INDEX);

		if (index >= count || !follow(commander, moved, row, &moves[index], error))
			return false;
		if (made)
			made[index] = true;
	}
	if (pg_rows(moved) > 0)
		commander->moved = true;
	return true;
}
