// When the device is connected. Persistent: always. On demand: from each heartbeat or wake-up until nothing has
// happened for stay_s, then it says goodbye and sleeps, so that the radio may. Pure: time is passed in, monotonic.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CONTACT_WAKE_EVERY_MS 1000  // wake-ups count no oftener; one that comes sooner counts then
#define CONTACT_TRY_MIN_MS 60000    // for at least so long a broker is tried that can't be reached
#define CONTACT_LONGEST_STAYS 10    // without anything happening, whatever waits to be stored

struct contact {
	bool on_demand;
	int64_t stay_ms;
	bool asleep;
	int64_t woken_ms; // when it last woke up
	int64_t busy_ms;  // when something last happened
	int64_t wake_ms;  // when the last wake-up counted
	int64_t due_ms;   // of a wake-up that waits; 0: none
	int64_t looked_ms; // when contact_sleep was last asked
};

void contact_init(struct contact *contact, bool on_demand, int64_t stay_s, int64_t now_ms);
// A heartbeat is due: awake from now on. True when the device slept, and has to connect.
bool contact_heartbeat(struct contact *contact, int64_t now_ms);
// Somebody wants it to connect, or to report if it is connected.
void contact_wake(struct contact *contact, int64_t now_ms);
// True once for each wake-up that counts: connect if there is no connection, or report.
bool contact_woken(struct contact *contact, int64_t now_ms);
void contact_busy(struct contact *contact, int64_t now_ms); // a command came
// Whether to sleep now. idle: nothing waits to be sent, stored, or done. If so it sleeps from now on.
bool contact_sleep(struct contact *contact, bool connected, bool idle, int64_t now_ms);
int64_t contact_deadline_ms(const struct contact *contact); // when to ask again; INT64_MAX: never
