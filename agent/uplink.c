#include "agent/uplink.h"

#include "common/topic.h"

#include <stdio.h>
#include <string.h>

bool uplink_init(struct uplink *uplink, struct outbox *outbox, const char *device, const struct uplink_port *port,
		 const struct uplink_facts *facts, struct crash *crash, struct error *error)
{
	*uplink = (struct uplink){
		.outbox = outbox,
		.port = *port,
		.facts = facts,
		.crash = crash,
		.replay_per_s = UPLINK_REPLAY_PER_S,
	};
	buf_init(&uplink->array, UPLINK_MESSAGE_BYTES_MAX);
	if (!topic_build(uplink->event_topic, TOPIC_EVENT, device, NULL) ||
	    !topic_build(uplink->telemetry_topic, TOPIC_TELEMETRY, device, NULL))
		return error_set(error, ERROR_INVALID, "%.64s is no device id", device);
	return true;
}

void uplink_done(struct uplink *uplink)
{
	buf_done(&uplink->array);
	json_free(uplink->latest);
	uplink->latest = NULL;
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

// Doubles with each time that everything was sent again in vain.
static int64_t resend_wait_ms(const struct uplink *uplink, int64_t wait_ms)
{
	for (unsigned i = 0; i < uplink->resends && wait_ms < UPLINK_RESEND_MAX_MS; i++)
		wait_ms *= 2;
	return wait_ms < UPLINK_RESEND_MAX_MS ? wait_ms : UPLINK_RESEND_MAX_MS;
}

void uplink_undelivered(struct uplink *uplink, int64_t now_ms)
{
	int64_t soon_ms = now_ms + resend_wait_ms(uplink, UPLINK_UNDELIVERED_MS);
	if (uplink->resend_ms > soon_ms)
		uplink->resend_ms = soon_ms;
}

void uplink_hello(struct uplink *uplink)
{
	uplink->hello_due = true;
}

// Rows that were not sent since the last start from the oldest.
static int64_t waiting(const struct uplink *uplink)
{
	return outbox_next_seq(uplink->outbox) - 1 - uplink->sent_seq;
}

// By more than a second.
static bool behind(const struct uplink *uplink)
{
	return waiting(uplink) > uplink->replay_per_s;
}

void uplink_latest(struct uplink *uplink, const struct json *reading)
{
	json_free(uplink->latest);
	uplink->latest = json_copy(reading);
	if (uplink->connected && behind(uplink))
		uplink->hello_due = true;
}

static bool publish(struct uplink *uplink, const char *topic, const char *payload, size_t payload_bytes,
		    int64_t age_ms, struct error *error)
{
	if (!uplink->port.publish(uplink->port.user, topic, payload, payload_bytes, age_ms, error))
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
	json_set_int(hello, "signers", facts->signers);
	const struct {
		const char *name, *value;
	} texts[] = {
		{"boot_id", facts->boot_id},         {"fingerprint", facts->fingerprint}, {"trust", facts->trust},
		{"certificate", facts->certificate}, {"not_after", facts->not_after},     {"mode", facts->mode},
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (texts[i].value && *texts[i].value)
			json_set_string(hello, texts[i].name, texts[i].value);
	}
	if (facts->push_token)
		json_set_string(hello, "push_token", facts->push_token);
	struct json *actions = json_new_array();
	for (char *const *action = facts->actions; action && *action; action++)
		json_append_string(actions, *action);
	json_set(hello, "actions", actions);
	if (uplink->latest && behind(uplink))
		json_set(hello, "latest", json_copy(uplink->latest));

	const char *text = json_text(hello);
	if (!publish(uplink, uplink->event_topic, text, strlen(text), 0, error))
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

// ---- the pace ----

static void earn(struct uplink *uplink, int64_t now_ms)
{
	int64_t most = uplink->replay_per_s * 1000;
	int64_t elapsed_ms = now_ms - uplink->credit_ms;
	uplink->credit_ms = now_ms;
	if (elapsed_ms > 0)
		uplink->credit = elapsed_ms > 1000000 ? most : uplink->credit + elapsed_ms * uplink->replay_per_s;
	if (uplink->credit > most)
		uplink->credit = most;
}

// What must have been earned before the next message: all that waits, or enough for an array worth sending.
static int64_t price(const struct uplink *uplink)
{
	int64_t rows = uplink->replay_per_s / UPLINK_TURNS_PER_S;
	if (rows < 1)
		rows = 1;
	if (rows > READINGS_PER_MESSAGE_MAX)
		rows = READINGS_PER_MESSAGE_MAX;
	return 1000 * (waiting(uplink) < rows ? waiting(uplink) : rows);
}

static int64_t window(const struct uplink *uplink)
{
	int64_t rows = uplink->sent_seq - (outbox_oldest_seq(uplink->outbox) - 1);
	bool open = uplink->in_flight_bytes < UPLINK_BYTES_MAX && uplink->left_behind == 0 &&
		    uplink->unacknowledged < UPLINK_ROWS_MAX;
	return open ? UPLINK_ROWS_MAX - rows : 0;
}

static bool may_send(const struct uplink *uplink)
{
	return waiting(uplink) > 0 && window(uplink) > 0 && uplink->credit >= price(uplink);
}

// ---- messages ----

struct parcel {
	char topic[TOPIC_MAX_BYTES];
	const char *payload; // the outbox's or the uplink's
	size_t payload_bytes;
	int64_t rows; // 0: nothing to send
	int64_t last_seq;
	int64_t age_ms; // of the last
};

// Adds the readings that follow directly.
static bool fill_array(struct uplink *uplink, int64_t rows_max, struct parcel *parcel, struct error *error)
{
	struct buf *array = &uplink->array;
	while (parcel->rows < rows_max) {
		struct outbox_message next;
		if (!outbox_next(uplink->outbox, parcel->last_seq, &next, error))
			return false;
		if (next.seq != parcel->last_seq + 1 || strcmp(next.topic, parcel->topic) != 0 ||
		    array->len_bytes + next.payload_bytes + strlen(",]") > UPLINK_MESSAGE_BYTES_MAX)
			break;
		(void)buf_add_str(array, ",");
		(void)buf_add(array, next.payload, next.payload_bytes);
		parcel->rows++;
		parcel->last_seq = next.seq;
		parcel->age_ms = next.age_ms;
	}
	return true;
}

static bool next_parcel(struct uplink *uplink, struct parcel *out, struct error *error)
{
	int64_t rows_max = uplink->credit / 1000;
	struct outbox_message first;
	if (!outbox_next(uplink->outbox, uplink->sent_seq, &first, error))
		return false;
	*out = (struct parcel){.payload = first.payload, .payload_bytes = first.payload_bytes};
	if (first.seq == 0)
		return true;
	out->rows = 1;
	out->last_seq = first.seq;
	out->age_ms = first.age_ms;
	memcpy(out->topic, first.topic, sizeof(out->topic));
	if (rows_max > window(uplink))
		rows_max = window(uplink);
	if (rows_max > READINGS_PER_MESSAGE_MAX)
		rows_max = READINGS_PER_MESSAGE_MAX;
	if (rows_max < 2 || strcmp(first.topic, uplink->telemetry_topic) != 0 ||
	    first.payload_bytes + strlen("[]") > UPLINK_MESSAGE_BYTES_MAX)
		return true;

	struct buf *array = &uplink->array;
	buf_clear(array);
	(void)buf_add_str(array, "[");
	(void)buf_add(array, first.payload, first.payload_bytes);
	if (!fill_array(uplink, rows_max, out, error))
		return false;
	bool alone = out->rows == 1; // then it stays an object
	if (!alone)
		(void)buf_add_str(array, "]");
	out->payload = buf_str(array) + alone;
	out->payload_bytes = array->len_bytes - alone;
	return true;
}

static void spend(struct uplink *uplink, const struct parcel *parcel)
{
	int64_t by_size = (int64_t)parcel->payload_bytes / UPLINK_ROW_BYTES;
	uplink->credit -= 1000 * (by_size > parcel->rows ? by_size : parcel->rows);
}

static bool send_messages(struct uplink *uplink, struct error *error)
{
	while (may_send(uplink)) {
		struct parcel parcel;
		if (!next_parcel(uplink, &parcel, error))
			return false;
		if (parcel.rows == 0)
			return true;
		if (!publish(uplink, parcel.topic, parcel.payload, parcel.payload_bytes, parcel.age_ms, error))
			return false;
		uplink->sent_seq = parcel.last_seq;
		uplink->in_flight_bytes += (int64_t)parcel.payload_bytes;
		uplink->published++;
		spend(uplink, &parcel);
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
	if (outbox_rows(uplink->outbox) > 0 && uplink->resend_ms == 0)
		uplink->resend_ms = now_ms + resend_wait_ms(uplink, UPLINK_RESEND_MIN_MS);
	earn(uplink, now_ms);
	if (send_messages(uplink, error))
		return true;
	uplink->credit = -1000 * uplink->replay_per_s; // whatever is wrong: not again within the second
	return false;
}

int64_t uplink_deadline_ms(const struct uplink *uplink)
{
	if (!uplink->connected)
		return INT64_MAX;
	int64_t deadline_ms = uplink->resend_ms != 0 ? uplink->resend_ms : INT64_MAX;
	if (uplink->told_dropped != outbox_dropped(uplink->outbox) &&
	    uplink->told_ms + UPLINK_DROP_HELLO_MS < deadline_ms)
		deadline_ms = uplink->told_ms + UPLINK_DROP_HELLO_MS;
	if (waiting(uplink) > 0 && window(uplink) > 0) {
		int64_t missing = price(uplink) - uplink->credit;
		int64_t earned_ms = uplink->credit_ms;
		if (missing > 0)
			earned_ms += (missing + uplink->replay_per_s - 1) / uplink->replay_per_s;
		if (earned_ms < deadline_ms)
			deadline_ms = earned_ms;
	}
	return deadline_ms;
}
