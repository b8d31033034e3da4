#include "agent/uplink.h"

#include "common/topic.h"

#include <stdio.h>
#include <string.h>

bool uplink_init(struct uplink *uplink, struct outbox *outbox, const char *device, const struct uplink_port *port,
		 const struct uplink_facts *facts, struct crash *crash, struct error *error)
{
	*uplink = (struct uplink){.outbox = outbox, .port = *port, .facts = facts, .crash = crash};
	if (!topic_build(uplink->event_topic, TOPIC_EVENT, device, NULL))
		return error_set(error, ERROR_INVALID, "%.64s is no device id", device);
	return true;
}

static void start_over(struct uplink *uplink)
{
	uplink->sent_seq = outbox_oldest_seq(uplink->outbox) - 1;
	uplink->in_flight_bytes = 0;
	uplink->hello_due = true;
}

void uplink_connected(struct uplink *uplink)
{
	uplink->connected = true;
	uplink->left_behind = uplink->unacknowledged;
	uplink->resend_ms = 0;
	start_over(uplink);
}

void uplink_disconnected(struct uplink *uplink)
{
	uplink->connected = false;
}

void uplink_acknowledged(struct uplink *uplink)
{
	if (uplink->unacknowledged > 0)
		uplink->unacknowledged--;
	if (uplink->left_behind > 0)
		uplink->left_behind--;
}

void uplink_hello(struct uplink *uplink)
{
	uplink->hello_due = true;
}

static bool publish(struct uplink *uplink, const char *topic, const char *payload, size_t payload_bytes,
		    struct error *error)
{
	if (!uplink->port.publish(uplink->port.user, topic, payload, payload_bytes, error))
		return false;
	uplink->unacknowledged++;
	return true;
}

static bool say_hello(struct uplink *uplink, int64_t now_ms, int64_t wall_ms, struct error *error)
{
	const struct uplink_facts *facts = uplink->facts;
	struct json *hello auto_json = json_new_object();
	json_set_string(hello, "type", "hello");
	json_set_int(hello, "ts", wall_ms);
	json_set_string(hello, "epoch", outbox_epoch(uplink->outbox));
	json_set_int(hello, "oldest_seq", outbox_oldest_seq(uplink->outbox));
	json_set_int(hello, "next_seq", outbox_next_seq(uplink->outbox));
	json_set_int(hello, "dropped", outbox_dropped(uplink->outbox));
	json_set_string(hello, "agent_version", MUSTER_VERSION);
	json_set_int(hello, "interval_s", facts->interval_s);
	if (facts->boot_id && *facts->boot_id)
		json_set_string(hello, "boot_id", facts->boot_id);
	if (facts->fingerprint && *facts->fingerprint)
		json_set_string(hello, "fingerprint", facts->fingerprint);
	struct json *actions = json_new_array();
	struct json *holder auto_json = json_new_object();
	for (char *const *action = facts->actions; action && *action; action++) {
		json_set_string(holder, "name", *action);
		json_append(actions, json_copy(json_member(holder, "name")));
	}
	json_set(hello, "actions", actions);

	const char *text = json_text(hello);
	if (!publish(uplink, uplink->event_topic, text, strlen(text), error))
		return false;
	uplink->hello_due = false;
	uplink->told_dropped = outbox_dropped(uplink->outbox);
	(void)snprintf(uplink->told_epoch, sizeof(uplink->told_epoch), "%s", outbox_epoch(uplink->outbox));
	uplink->told_ms = now_ms;
	return true;
}

bool uplink_stored(struct uplink *uplink, const char *payload, size_t payload_bytes, int64_t now_ms,
		   struct error *error)
{
	struct json *json auto_json = json_parse(payload, payload_bytes, error);
	const char *epoch;
	int64_t seq;
	if (!json)
		return false;
	if (!json_member_string(json, "epoch", &epoch) || !json_member_int(json, "seq", &seq))
		return error_set(error, ERROR_INVALID, "stored without epoch or seq");
	if (seq >= outbox_oldest_seq(uplink->outbox) && strcmp(epoch, outbox_epoch(uplink->outbox)) == 0)
		crash_here(uplink->crash, CRASH_STORED);

	int64_t deleted = 0;
	if (!outbox_stored(uplink->outbox, epoch, seq, &deleted, error))
		return false;
	if (deleted == 0)
		return true;
	uplink->resends = 0;
	uplink->resend_ms = outbox_rows(uplink->outbox) > 0 ? now_ms + UPLINK_RESEND_MIN_MS : 0;
	if (uplink->sent_seq < outbox_oldest_seq(uplink->outbox) - 1)
		uplink->sent_seq = outbox_oldest_seq(uplink->outbox) - 1;
	return outbox_bytes_to(uplink->outbox, uplink->sent_seq, &uplink->in_flight_bytes, error);
}

static bool may_send(const struct uplink *uplink)
{
	int64_t rows = uplink->sent_seq - (outbox_oldest_seq(uplink->outbox) - 1);
	return rows < UPLINK_ROWS_MAX && uplink->in_flight_bytes < UPLINK_BYTES_MAX && uplink->left_behind == 0 &&
	       uplink->unacknowledged < UPLINK_ROWS_MAX;
}

static bool send_messages(struct uplink *uplink, struct error *error)
{
	while (uplink->sent_seq < outbox_next_seq(uplink->outbox) - 1 && may_send(uplink)) {
		struct outbox_message message;
		if (!outbox_next(uplink->outbox, uplink->sent_seq, &message, error))
			return false;
		if (message.seq == 0)
			return true;
		if (!publish(uplink, message.topic, message.payload, message.payload_bytes, error))
			return false;
		uplink->sent_seq = message.seq;
		uplink->in_flight_bytes += (int64_t)message.payload_bytes;
		uplink->published++;
	}
	return true;
}

static void notice_outbox(struct uplink *uplink, int64_t now_ms)
{
	if (strcmp(uplink->told_epoch, outbox_epoch(uplink->outbox)) != 0) {
		start_over(uplink);
	} else if (uplink->told_dropped != outbox_dropped(uplink->outbox) &&
		   now_ms - uplink->told_ms >= UPLINK_DROP_HELLO_MS) {
		uplink->hello_due = true;
	}
	// What was dropped is in flight no more.
	if (uplink->sent_seq < outbox_oldest_seq(uplink->outbox) - 1) {
		uplink->sent_seq = outbox_oldest_seq(uplink->outbox) - 1;
		uplink->in_flight_bytes = 0;
	}
}

bool uplink_pump(struct uplink *uplink, int64_t now_ms, int64_t wall_ms, struct error *error)
{
	if (!uplink->connected)
		return true;
	notice_outbox(uplink, now_ms);
	if (uplink->resend_ms != 0 && now_ms >= uplink->resend_ms) {
		start_over(uplink);
		uplink->left_behind = 0; // if they were to be acknowledged, they would be by now
		if (uplink->unacknowledged >= UPLINK_ROWS_MAX)
			uplink->unacknowledged = 0;
		uplink->resends++;
		uplink->resend_ms = 0;
	}
	if (uplink->hello_due && !say_hello(uplink, now_ms, wall_ms, error))
		return false;
	if (outbox_rows(uplink->outbox) > 0 && uplink->resend_ms == 0) {
		int64_t wait_ms = UPLINK_RESEND_MIN_MS;
		for (unsigned i = 0; i < uplink->resends && wait_ms < UPLINK_RESEND_MAX_MS; i++)
			wait_ms *= 2;
		uplink->resend_ms = now_ms + (wait_ms < UPLINK_RESEND_MAX_MS ? wait_ms : UPLINK_RESEND_MAX_MS);
	}
	return send_messages(uplink, error);
}

int64_t uplink_deadline_ms(const struct uplink *uplink)
{
	if (!uplink->connected)
		return INT64_MAX;
	int64_t deadline_ms = uplink->resend_ms != 0 ? uplink->resend_ms : INT64_MAX;
	if (uplink->told_dropped != outbox_dropped(uplink->outbox) &&
	    uplink->told_ms + UPLINK_DROP_HELLO_MS < deadline_ms)
		deadline_ms = uplink->told_ms + UPLINK_DROP_HELLO_MS;
	return deadline_ms;
}
