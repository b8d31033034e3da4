// The bridge's MQTT session, as svc.bridge: one door for everything that it hears from the broker and says there. Any
// part of the bridge registers for a kind of topic, or publishes; what is published within one turn of the event loop
// leaves together. Nothing here blocks.
#pragma once

#include "bridge/options.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/mqtt.h"
#include "common/topic.h"

#include <stdbool.h>
#include <stddef.h>

struct link;

// From a device (or to it). It is acknowledged when the turn of the event loop ends, with whatever was published
// meanwhile.
typedef void link_message_fn(const struct topic *topic, const struct mqtt_message *message, void *user);
// On our response topic.
typedef void link_answer_fn(const struct mqtt_message *message, void *user);
// What became of a message published with QoS 1: reason_code as in struct mqtt_handlers.
typedef void link_puback_fn(int mid, int reason_code, void *user);

// Connects when the loop runs, and again with backoff and jitter whenever the session is lost. The session is not kept
// by the broker: whoever waits for an answer of ours asks again.
struct link *link_new(struct loop *loop, const struct options *options, struct metrics *metrics, struct error *error)
	must_check;
void link_free(struct link *link); // says goodbye for up to a second
DEFINE_CLEANUP(struct link, link_free)

// Before the loop runs; one handler a kind (the second takes the place of the first). Subscribes to the topics of all
// devices, shared among the bridges of the installation: each message is handed to one of them.
bool link_on(struct link *link, enum topic_kind kind, link_message_fn *fn, void *user, struct error *error) must_check;
void link_on_answer(struct link *link, link_answer_fn *fn, void *user);
void link_on_puback(struct link *link, link_puback_fn *fn, void *user);

// Connected and subscribed.
bool link_ready(const struct link *link);
// What is not well with it, and what to do about it; NULL: nothing.
const char *link_trouble(const struct link *link);
// The MQTT 5 response topic of this process: "svc/v1/svc.bridge/<random>".
const char *link_response_topic(const struct link *link);
// Queues a message; *mid may be NULL. ERROR_UNREACHABLE while the session is away: nothing is kept then.
// ERROR_LIMIT when UNACKED_MAX messages or UNACKED_BYTES_MAX bytes of QoS 1 wait for their PUBACK. What was
// queued before a loss of the session is sent again after it.
bool link_publish(struct link *link, const struct mqtt_publish *publish, int *mid, struct error *error) must_check;
