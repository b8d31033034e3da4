// The wake ladder: a command was published; when the device is known to be away, or has not answered within
// wake.after_s, it is woken through its push service; if that brings it, well, and how long it took is learnt;
// otherwise it is tried again, rarer each time, until the command is answered or expires. The broker holds the
// command all the while.
//
// All state is in device_wake. A row that is due is claimed in the turn's transaction ("for update skip locked", and
// due_at moved on by a lease), the push leaves after COMMIT, and its outcome is stored by a later turn. So a
// commander that dies in between costs the lease, and several do not push for the same device at once.
#pragma once

#include "commander/breaker.h"
#include "commander/devices.h"
#include "commander/fcm.h"
#include "commander/options.h"

#include "common/error.h"
#include "common/json.h"
#include "common/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct commander;
struct wake_push; // one on its way, or ended and not stored

struct wake {
	struct fcm *fcm; // NULL: there are no credentials, and nobody is woken
	struct breaker breaker;
	struct devices sent;     // a command was sent to these
	struct devices contacts; // these showed life
	struct wake_push *claimed, *ended; // to leave after COMMIT; to be stored
	size_t sent_taken, contacts_taken; // of the lists, by the transaction under way
	bool look;               // at what is due
	bool look_all;           // for devices with commands that nobody has looked at
	int64_t tidied_ms;       // monotonic: when old dispatches were last deleted; 0: not yet
	struct log_fault fault;
};

// Logs once whether devices can be woken. When they can't, also for a credentials file that is no good, all else
// works.
void wake_init(struct commander *commander);
void wake_done(struct wake *wake);

// Told by the other steps; device ids are copied.
void wake_sent(struct wake *wake, const char *device);
void wake_contact(struct wake *wake, const char *device);
void wake_look(struct wake *wake);     // at what is due: each second, and when somebody asks
void wake_look_all(struct wake *wake); // after a new connection to the database
bool wake_is_due(const struct wake *wake);

// The step of a turn, in its transaction; then one of the other two.
bool wake_run(struct commander *commander, struct error *error) must_check;
void wake_committed(struct commander *commander);
void wake_rolled_back(struct wake *wake);

void wake_show_metrics(struct commander *commander);
struct json *wake_health(struct wake *wake); // {"state":"ready","breaker":"closed",..}

// ---- what is decided, apart from where the facts come from ----

struct wake_facts {
	bool reachable;        // there is a push token
	bool wanted;           // a command waits to be answered, or somebody asked
	bool asked;            // the latter
	bool sleeps;           // it said so, and that it will be back
	int64_t heartbeat_in_s; // then: until it is expected by itself; 0 or less: overdue or unknown
	int64_t hour_count, hour_left_s; // pushes in its present hour, and what is left of that
	int64_t delay_ms, delay_count;
};

enum wake_choice {
	WAKE_PUSH,
	WAKE_LATER, // look again after *later_s
	WAKE_REST,  // there is nothing to do until something new comes
};
enum wake_choice wake_decide(const struct wake_facts *facts, const struct options *options, int64_t *later_s);
// How long to wait for contact before the next push: three times what this device took so far, doubling with each
// push that brought nothing.
int64_t wake_retry_s(const struct options *options, int64_t delay_ms, int64_t delay_count, int64_t unanswered);
