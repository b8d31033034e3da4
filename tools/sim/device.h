// One simulated device: an MQTT session of its own, an outbox, readings and obedience.
//
// A turn of the loop has three steps (swarm.c): devices take in what came and make what is due; then ledger and
// journal become durable; then the devices that were touched send. So nothing leaves that is not in the ledger.
#pragma once

#include "common/crypto.h"
#include "common/log.h"
#include "common/mqtt.h"
#include "tools/sim/identity.h"
#include "tools/sim/ledger.h"
#include "tools/sim/obey.h"
#include "tools/sim/options.h"
#include "tools/sim/outbox.h"
#include "tools/sim/schedule.h"
#include "tools/sim/telemetry.h"

// Messages, unless said.
struct totals {
	uint64_t readings;
	uint64_t sent;     // for the first time
	uint64_t resent;
	uint64_t stored;
	uint64_t forgotten; // deleted by PUBACK: --forget-on-puback
	uint64_t pubacks;
	uint64_t hellos;
	uint64_t reconnects;
	uint64_t commands;  // received, repeated ones too
	uint64_t refused;   // of these
};

// What all devices share.
struct shared {
	const struct options *options;
	int epoll_fd;
	struct schedule schedule;
	struct ledger ledger;
	struct ledger journal; // of commands
	struct buf scratch;    // for building one message
	struct totals totals;
	struct device *touched; // they have something to do in the third step
	size_t connected;
	size_t finished;       // devices that have made all their readings, and whose outboxes are empty
	bool draining;         // no readings are made any more
	const char *failure;   // not NULL: the program is to end, with failure
	struct log_fault session_fault;
};

void shared_fail(struct shared *shared, const char *why); // keeps the first

enum device_phase {
	DEVICE_WAITING, // for its turn to connect first
	DEVICE_RUNNING,
	DEVICE_GOING,   // down, as soon as what it has to say is sent
	DEVICE_DOWN,    // until wake_ms
};

struct device {
	struct schedule_item item; // first: schedule_first() gives the device
	struct shared *shared;
	struct identity identity;
	struct mqtt *mqtt;         // NULL while WAITING and DOWN
	struct outbox outbox;
	struct telemetry telemetry;
	struct obey obey;
	struct device *next_touched;
	bool touched;
	bool connected;            // as counted in shared->connected
	bool finished;             // as counted in shared->finished
	bool connected_before;
	enum device_phase phase;
	int watched_fd, watched_events; // as epoll knows them; fd -1: not at all
	int64_t interval_ms;
	int64_t wake_ms;           // WAITING, DOWN; monotonic, as are all below
	int64_t reading_ms;        // when the next message of readings is due
	int64_t stall_ms;          // when to send again unless something is stored before
	int64_t stall_after_ms;
	int64_t readings;          // made so far
	uint64_t check;            // state of the generator of "check"
	int64_t session;           // number of the connection, or of the try to make one: the time of the start and up
	char boot_id[UUID_TEXT_BYTES];
};

// identity is set by then. wake_ms: when to connect first.
void device_init(struct device *device, struct shared *shared, uint64_t seed, int64_t wake_ms);
void device_done(struct device *device);

// First step: the socket is ready, or the time has come.
void device_io(struct device *device);
void device_due(struct device *device, int64_t now_ms);
// Third step.
void device_send(struct device *device, int64_t now_ms);
void device_touch(struct device *device); // asks for the third step
// Says goodbye; the outbox stays.
void device_stop(struct device *device, int timeout_ms);

// For report.c and obey.c.
// age_ms: how long it has waited.
bool device_publish(struct device *device, enum topic_kind kind, const char *payload, size_t payload_bytes,
		    int64_t age_ms, int *mid);
void device_set_interval(struct device *device, int64_t interval_ms);
void device_reboot(struct device *device);
int64_t device_uptime_s(const struct device *device);
// Made up, the same for the same id.
void device_fingerprint(const char *id, char out[SHA256_HEX_BYTES]);
