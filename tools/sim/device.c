#include "tools/sim/device.h"

#include "common/clock.h"
#include "common/device_status.h"
#include "common/json.h"
#include "tools/sim/report.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define REBOOT_MS 3000
#define STALL_MAX_MS 300000
#define MESSAGES_PER_TURN 32 // of one device, so that all get their turn
#define GOODBYE_MS 200
#define AGE_TOLD_MS 1000 // a younger message is as good as new

void shared_fail(struct shared *shared, const char *why)
{
	if (!shared->failure)
		shared->failure = why;
}

void device_fingerprint(const char *id, char out[SHA256_HEX_BYTES])
{
	char text[DEVICE_ID_MAX + 16];

	int len_bytes = snprintf(text, sizeof(text), "muster-sim %s", id);
	crypto_sha256_hex(text, (size_t)len_bytes, out);
}

void device_init(struct device *device, struct shared *shared, uint64_t seed, int64_t wake_ms)
{
	device->shared = shared;
	device->phase = DEVICE_WAITING;
	device->wake_ms = wake_ms;
	device->reading_ms = wake_ms;
	device->watched_fd = -1;
	device->interval_ms = shared->options->interval_ms;
	device->stall_after_ms = shared->options->stall_s * 1000;
	device->session = clock_wall_ms();
	outbox_init(&device->outbox);
	telemetry_init(&device->telemetry, seed, clock_wall_ms());
	crypto_uuid4(device->boot_id);
	do
		crypto_random(&device->check, sizeof(device->check));
	while (device->check == 0); // from which the generator would not move
	schedule_set(&shared->schedule, &device->item, wake_ms);
}

void device_done(struct device *device)
{
	mqtt_free(device->mqtt);
	outbox_done(&device->outbox);
	obey_done(&device->obey);
	identity_done(&device->identity);
}

void device_touch(struct device *device)
{
	if (device->touched)
		return;
	device->touched = true;
	device->next_touched = device->shared->touched;
	device->shared->touched = device;
}

int64_t device_uptime_s(const struct device *device)
{
	int64_t up_ms = clock_wall_ms() - device->telemetry.boot_ms;

	return up_ms > 0 ? up_ms / 1000 : 0;
}

void device_set_interval(struct device *device, int64_t interval_ms)
{
	device->interval_ms = interval_ms;
	device->reading_ms = clock_mono_ms() + interval_ms;
}

static bool publish(struct device *device, const struct mqtt_publish *message, int *mid)
{
	struct error error = {.kind = ERROR_NONE};

	if (mqtt_publish(device->mqtt, message, mid, &error))
		return true;
	if (error.kind != ERROR_UNREACHABLE)
		log_fault(&device->shared->session_fault, "publish.failed", &error);
	return false;
}

bool device_publish(struct device *device, enum topic_kind kind, const char *payload, size_t payload_bytes,
		    int64_t age_ms, int *mid)
{
	char topic[TOPIC_MAX_BYTES];
	char age[24];
	const struct mqtt_property property = {"age-ms", age};
	const struct mqtt_publish message = {
		.topic = topic,
		.payload = payload,
		.payload_bytes = payload_bytes,
		.qos = 1,
		.properties = &property,
		.property_count = age_ms >= AGE_TOLD_MS ? 1 : 0,
	};

	(void)snprintf(age, sizeof(age), "%" PRId64, age_ms);
	return topic_build(topic, kind, device->identity.device, NULL) && publish(device, &message, mid);
}

static bool publish_status(struct device *device, const char *text, const char *why)
{
	struct device_status status;

	return device_status_make(device->identity.device, device->session, text, why, &status) &&
	       publish(device, &status.publish, NULL);
}

static void next_session(struct device *device)
{
	struct error error = {.kind = ERROR_NONE};
	struct device_status will;

	device->session++;
	if (!device_status_make(device->identity.device, device->session, "offline", "will", &will) ||
	    !mqtt_set_will(device->mqtt, &will.publish, &error))
		shared_fail(device->shared, "a will could not be made");
}

// --- the session's handlers ---------------------------------------------------------------------------------------

static bool subscribe(struct device *device, enum topic_kind kind, int qos)
{
	char topic[TOPIC_MAX_BYTES];
	struct error error = {.kind = ERROR_NONE};

	if (topic_build(topic, kind, device->identity.device, NULL) &&
	    mqtt_subscribe(device->mqtt, topic, qos, &error))
		return true;
	log_fault(&device->shared->session_fault, "subscribe.failed", &error);
	return false;
}

static void set_stall(struct device *device)
{
	device->stall_ms = clock_mono_ms() + device->stall_after_ms;
}

// Everything from the start, behind a hello.
static void send_again(struct device *device)
{
	if (!report_hello(device))
		return;
	outbox_rewind(&device->outbox);
	set_stall(device);
	device_touch(device);
}

static void on_connect(void *user, bool session_present __attribute__((unused)))
{
	struct device *device = user;
	struct totals *totals = &device->shared->totals;

	if (device->connected_before)
		totals->reconnects++;
	device->connected_before = true;
	device->connected = true;
	device->shared->connected++;
	device->stall_after_ms = device->shared->options->stall_s * 1000;
	if (subscribe(device, TOPIC_STORED, 0) && subscribe(device, TOPIC_COMMAND, 1) &&
	    subscribe(device, TOPIC_CERTIFICATE, 1) && publish_status(device, "online", NULL))
		send_again(device);
	device_touch(device);
}

static void mark_disconnected(struct device *device)
{
	if (!device->connected)
		return;
	device->connected = false;
	device->shared->connected--;
}

static void on_disconnect(void *user, const struct error *error)
{
	struct device *device = user;

	log_fault(&device->shared->session_fault, "session.lost", error);
	mark_disconnected(device);
	next_session(device);
}

static void take_stored(struct device *device, const struct mqtt_message *message)
{
	auto_json struct json *json = json_parse(message->payload, message->payload_bytes, NULL);
	const char *epoch;
	int64_t seq;

	if (!json || !json_member_string(json, "epoch", &epoch) || !json_member_int(json, "seq", &seq))
		return;
	size_t removed = outbox_stored(&device->outbox, epoch, seq);
	if (removed == 0)
		return;
	device->shared->totals.stored += removed;
	device->stall_after_ms = device->shared->options->stall_s * 1000;
	set_stall(device);
}

static char *folder_of(const struct device *device)
{
	char *path;

	if (asprintf(&path, "%s/%s", device->shared->options->state_dir, device->identity.device) < 0)
		abort(); // as everywhere when a path of some bytes finds no memory
	return path;
}

// {"ca":..}: whom to trust from the next connection on. Renewal is for real devices.
static void take_trust(struct device *device, const struct mqtt_message *message)
{
	auto_json struct json *json = json_parse(message->payload, message->payload_bytes, NULL);
	auto_free char *folder = folder_of(device);
	struct error error = {.kind = ERROR_NONE};
	const char *ca;

	if (!json || json_member(json, "request") || !json_member_string(json, "ca", &ca))
		return;
	if (!identity_trust(folder, ca, &device->identity, &error))
		log_fault(&device->shared->session_fault, "trust.failed", &error);
	else
		(void)report_hello(device);
}

static void on_message(void *user, const struct mqtt_message *message)
{
	struct device *device = user;
	struct topic topic;

	if (!topic_parse(message->topic, strlen(message->topic), &topic) ||
	    strcmp(topic.principal, device->identity.device) != 0)
		return;
	if (topic.kind == TOPIC_STORED)
		take_stored(device, message);
	else if (topic.kind == TOPIC_CERTIFICATE)
		take_trust(device, message);
	else if (topic.kind == TOPIC_COMMAND)
		obey_command(device, message->payload, message->payload_bytes);
	device_touch(device);
}

static void on_puback(void *user, int mid, int reason_code)
{
	struct device *device = user;
	struct shared *shared = device->shared;

	shared->totals.pubacks++;
	if (shared->options->forget_on_puback && reason_code < 0x80 && outbox_forget(&device->outbox, mid))
		shared->totals.forgotten++;
}

static const struct mqtt_handlers handlers = {
	.on_connect = on_connect,
	.on_disconnect = on_disconnect,
	.on_message = on_message,
	.on_puback = on_puback,
};

// --- coming and going -----------------------------------------------------------------------------------------------

// Tells epoll what to watch; called after each call into the session, before any other session may get the same
// descriptor number.
static void watch(struct device *device)
{
	int epoll_fd = device->shared->epoll_fd;
	int fd = device->mqtt ? mqtt_fd(device->mqtt) : -1;
	int events = fd >= 0 ? mqtt_poll_events(device->mqtt) : 0;

	if (fd == device->watched_fd && events == device->watched_events)
		return;
	// POLLIN and POLLOUT are EPOLLIN and EPOLLOUT by definition, epoll_ctl(2).
	struct epoll_event event = {.events = (uint32_t)events, .data.ptr = device};
	if (device->watched_fd >= 0 && device->watched_fd != fd)
		(void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, device->watched_fd, NULL); // closed already is fine
	if (fd >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0 &&
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		shared_fail(device->shared, "epoll does not take a descriptor");
	device->watched_fd = fd;
	device->watched_events = events;
}

static char *state_path(const struct device *device, const char *name)
{
	auto_free char *folder = folder_of(device);
	char *path;

	if (asprintf(&path, "%s/%s", folder, name) < 0)
		abort();
	return path;
}

static void start_session(struct device *device)
{
	const struct options *options = device->shared->options;
	struct error error = {.kind = ERROR_NONE};
	auto_free char *ca = options->plain_port ? NULL : state_path(device, "ca.crt");
	auto_free char *cert = options->plain_port ? NULL : state_path(device, "device.crt");
	auto_free char *key = options->plain_port ? NULL : state_path(device, "device.key");

	const struct mqtt_options session = {
		.host = options->host ? options->host : device->identity.host,
		.port = options->port ? (int)options->port : device->identity.port,
		.client_id = device->identity.device,
		.ca_file = ca,
		.cert_file = cert,
		.key_file = key,
		.keepalive_s = MQTT_KEEPALIVE_S,
		.clean_start = false,
		.session_expiry_s = UINT32_MAX,
		.receive_maximum = 100,
		.inflight_maximum = 0,
		.backoff_max_ms = (int)options->backoff_ms,
	};
	if (!options->plain_port) {
		auto_free char *folder = folder_of(device);
		identity_look(folder, &device->identity);
	}
	device->mqtt = mqtt_new(&session, &handlers, device, &error);
	if (!device->mqtt) {
		log_error("session.failed", "device", device->identity.device, "error", error.what);
		shared_fail(device->shared, "a session could not be made");
		return;
	}
	device->phase = DEVICE_RUNNING;
	next_session(device);
	mqtt_tick(device->mqtt);
}

void device_stop(struct device *device, int timeout_ms)
{
	if (!device->mqtt)
		return;
	// A clean DISCONNECT discards the will, so the device says itself that it leaves.
	if (mqtt_connected(device->mqtt))
		(void)publish_status(device, "offline", "goodbye");
	mqtt_disconnect(device->mqtt, timeout_ms);
	mqtt_free(steal(device->mqtt));
	mark_disconnected(device);
	watch(device);
}

void device_reboot(struct device *device)
{
	device->phase = DEVICE_GOING;
}

static void go_down(struct device *device, int64_t now_ms)
{
	device_stop(device, GOODBYE_MS);
	device->phase = DEVICE_DOWN;
	device->wake_ms = now_ms + REBOOT_MS;
}

static void come_back(struct device *device, int64_t now_ms)
{
	crypto_uuid4(device->boot_id);
	telemetry_rebooted(&device->telemetry, clock_wall_ms());
	device->reading_ms = now_ms + device->interval_ms;
	report_event(device, "boot", NULL);
	obey_rebooted(device);
	start_session(device);
}

// --- turns ----------------------------------------------------------------------------------------------------------

static bool wants_readings(const struct device *device)
{
	const struct options *options = device->shared->options;
	long room = device->interval_ms == 0 && options->window < options->outbox_max ? options->window :
											 options->outbox_max;

	return (device->phase == DEVICE_RUNNING || device->phase == DEVICE_GOING) && !device->shared->draining &&
	       (options->limit == 0 || device->readings < options->limit) && device->outbox.count < (size_t)room;
}

static void make_readings(struct device *device, int64_t now_ms)
{
	const struct options *options = device->shared->options;
	int64_t wall_ms = clock_wall_ms();

	for (int i = 0; i < MESSAGES_PER_TURN && wants_readings(device) && now_ms >= device->reading_ms; i++) {
		int64_t count = options->batch;

		if (options->limit && count > options->limit - device->readings)
			count = options->limit - device->readings;
		// The second one comes early, by chance, so that devices started together spread over the interval.
		int64_t gap_ms = device->interval_ms;
		if (device->readings == 0 && gap_ms > 1)
			gap_ms = gap_ms / 2 + (int64_t)(device->check % (uint64_t)(gap_ms / 2 + 1));
		report_readings(device, count, wall_ms);
		// After a long stop it goes on from now, in place of making up for it.
		device->reading_ms += gap_ms;
		if (device->reading_ms + gap_ms < now_ms)
			device->reading_ms = now_ms + gap_ms;
	}
}

void device_io(struct device *device)
{
	if (!device->mqtt)
		return;
	(void)mqtt_read(device->mqtt, SIZE_MAX);
	watch(device);
	device_touch(device);
}

void device_due(struct device *device, int64_t now_ms)
{
	device_touch(device);
	if (now_ms >= device->wake_ms) {
		if (device->phase == DEVICE_WAITING) {
			obey_rebooted(device);
			start_session(device);
		} else if (device->phase == DEVICE_DOWN) {
			come_back(device, now_ms);
		}
		watch(device);
	}
	make_readings(device, now_ms);
	if (device->connected && device->outbox.in_flight > 0 && now_ms >= device->stall_ms) {
		device->stall_after_ms *= 2;
		if (device->stall_after_ms > STALL_MAX_MS)
			device->stall_after_ms = STALL_MAX_MS;
		send_again(device);
	}
}

static void count_finished(struct device *device)
{
	const struct options *options = device->shared->options;
	bool made = device->shared->draining || (options->limit && device->readings >= options->limit);
	bool finished = made && device->outbox.count == 0 && device->phase == DEVICE_RUNNING;

	if (finished == device->finished)
		return;
	device->finished = finished;
	if (finished)
		device->shared->finished++;
	else
		device->shared->finished--;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t next_due(const struct device *device, int64_t now_ms)
{
	int64_t due_ms = SCHEDULE_NEVER;

	if (device->phase == DEVICE_WAITING || device->phase == DEVICE_DOWN)
		due_ms = device->wake_ms;
	if (device->mqtt) {
		int timeout_ms = mqtt_timeout_ms(device->mqtt);

		if (timeout_ms >= 0)
			due_ms = earlier(due_ms, now_ms + timeout_ms);
	}
	if (wants_readings(device))
		due_ms = earlier(due_ms, device->reading_ms);
	if (device->connected && device->outbox.in_flight > 0)
		due_ms = earlier(due_ms, device->stall_ms);
	return due_ms;
}

static void send_outbox(struct device *device)
{
	struct totals *totals = &device->shared->totals;
	size_t window = (size_t)device->shared->options->window;
	struct outbox_entry *entry;
	int mid;

	if (device->outbox.in_flight == 0)
		set_stall(device);
	while (device->connected && (entry = outbox_next(&device->outbox, window))) {
		if (!device_publish(device, entry->kind, entry->payload, entry->payload_bytes,
				    clock_boot_ms() - entry->made_ms, &mid))
			return;
		if (entry->sent_before)
			totals->resent++;
		else
			totals->sent++;
		outbox_sent(&device->outbox, mid);
	}
}

void device_send(struct device *device, int64_t now_ms)
{
	if (device->mqtt) {
		send_outbox(device);
		mqtt_write(device->mqtt);
		// Called at each occasion: the timeout is counted from now, so waiting for it could take for ever.
		mqtt_tick(device->mqtt);
		watch(device);
	}
	if (device->phase == DEVICE_GOING && (!device->connected || !device->outbox.unsent))
		go_down(device, now_ms);
	count_finished(device);
	schedule_set(&device->shared->schedule, &device->item, next_due(device, now_ms));
}
