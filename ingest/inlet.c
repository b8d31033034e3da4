#include "ingest/inlet.h"

#include "common/crypto.h"
#include "common/limits.h"
#include "ingest/kind.h"
#include "ingest/receipts.h"

#include <stdio.h>
#include <string.h>

static const struct kind *const kinds[] = {
	&status_kind, &telemetry_kind, &event_kind, &limit_kind, &inventory_kind, &result_kind,
	&output_kind,
};

enum { KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]) };

size_t inlet_kind_count(void)
{
	return KIND_COUNT;
}

const struct kind *inlet_kind(size_t index)
{
	return kinds[index];
}

void inlet_init(struct inlet *inlet)
{
	uint8_t random[4];
	crypto_random(random, sizeof(random));
	inlet->epoch[0] = '-';
	crypto_hex(random, sizeof(random), inlet->epoch + 1);
	inlet->seq = 0;
}

static const struct kind *find_kind(enum topic_kind topic)
{
	for (size_t i = 0; i < KIND_COUNT; i++)
		if (kinds[i]->topic == topic)
			return kinds[i];
	return NULL;
}

static void take_reply(const struct mqtt_message *in, struct message *message, struct arena *arena)
{
	if (!in->response_topic || !topic_is_response(in->response_topic, message->device))
		return;
	struct reply *reply = arena_alloc(arena, sizeof(*reply));
	reply->topic = arena_string(arena, in->response_topic);
	if (in->correlation) {
		reply->correlation = arena_copy(arena, in->correlation, in->correlation_bytes);
		reply->correlation_bytes = in->correlation_bytes;
	}
	if (topic_is_service_response(in->response_topic) &&
	    receipts_is_name(reply->correlation, reply->correlation_bytes))
		message->receipt = reply;
	else
		message->reply = reply;
}

static int64_t take_age(const struct mqtt_message *in)
{
	const char *text = mqtt_property(in, "age-ms");
	int64_t age_ms;
	if (!text || !number_parse(text, &age_ms))
		return 0;
	return age_ms < AGE_MAX_MS ? age_ms : AGE_MAX_MS;
}

// A refused message keeps only the stamps that count.
static void drop_unnumbered(struct message *message)
{
	size_t kept = 0;
	for (size_t i = 0; i < message->count; i++)
		if (message->stamps[i].numbered)
			message->stamps[kept++] = message->stamps[i];
	message->count = kept;
}

static void number_rows(struct inlet *inlet, struct message *message, struct arena *arena)
{
	const char *epoch = NULL;
	for (size_t i = 0; i < message->count; i++) {
		struct stamp *stamp = &message->stamps[i];
		if (stamp->numbered)
			continue;
		if (!epoch)
			epoch = arena_string(arena, inlet->epoch);
		stamp->epoch = epoch;
		stamp->seq = ++inlet->seq;
	}
}

static void parse(struct inlet *inlet, struct batch *batch, struct message *message, const struct mqtt_message *in)
{
	struct topic topic;
	struct error error = {0};
	if (!topic_parse(message->topic, strlen(message->topic), &topic)) {
		message_refuse(message, &batch->arena, "the topic is none of ours, or names no device id");
		return;
	}
	message->kind = find_kind(topic.kind);
	if (!message->kind) {
		message_refuse(message, &batch->arena, "messages of this topic are not stored");
		return;
	}
	message->device = arena_string(&batch->arena, topic.principal);
	take_reply(in, message, &batch->arena);
	message->alive = !in->retain;
	struct input input = {
		.payload = in->payload ? in->payload : "",
		.payload_bytes = in->payload_bytes,
		.device = topic.principal,
		.detail = topic.detail,
		.received_ms = message->received_ms,
		.retained = in->retain,
		.session = mqtt_property(in, "session"),
		.why = mqtt_property(in, "why"),
		.peer = mqtt_last_property(in, TOPIC_PEER_PROPERTY),
	};
	message->age_ms = take_age(in);
	if (!message->kind->parse(&input, &batch->arena, message, &error)) {
		message_refuse(message, &batch->arena, error.what);
		drop_unnumbered(message);
		return;
	}
	number_rows(inlet, message, &batch->arena);
	message_measure(message);
}

bool inlet_take(struct inlet *inlet, struct batch *batch, const struct mqtt_message *in, int64_t received_ms)
{
	if (in->qos == 0 && batch_full(batch))
		return false;
	struct message *message = batch_add(batch);
	size_t shown = in->payload_bytes < QUARANTINE_PAYLOAD_MAX ? in->payload_bytes : QUARANTINE_PAYLOAD_MAX;
	message->received_ms = received_ms;
	message->topic = arena_string(&batch->arena, in->topic);
	message->excerpt = arena_copy(&batch->arena, in->payload, shown);
	message->payload_bytes = in->payload_bytes;
	parse(inlet, batch, message, in);
	return true;
}
