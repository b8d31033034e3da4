// Who is there (docs/decisions/0006-presence.md). Evidence that a device has gone is held for a moment, because a
// broker that shuts down says so of all: it counts when our own connection has outlived it and the device has not come
// back.
//
// The rows that are held stand in device_state and outlive this program; due times are on our monotonic clock, so that
// a jump of the server's clock ends nothing.
#pragma once

#include "common/pg.h"

#include <stdbool.h>
#include <stdint.h>

#define PRESENCE_HOLD_MS 1000 // how long a broker may take from its devices' wills to closing our connection

struct presence {
	char holder[128];     // MQTT client id and cell: names our rows, also to our successor
	char cell[16];
	char connection[64];  // names our connection to the broker
	int64_t grace_length_ms;
	bool connected;
	bool reconnected;     // not the first connection of this program
	bool extend;          // the rows held are to be held until the grace is over
	unsigned connections;
	int64_t grace_ms;     // when the grace is over; monotonic, as are all below
	int64_t grace_due_ms; // when to look for rows held until the grace is over; 0: there are none
	int64_t due_ms;       // the same for rows held shortly
	int64_t last_due_ms;  // when the last of these becomes due
	int64_t retry_ms;     // not before, after a failure
};

void presence_init(struct presence *presence, const char *client_id, long cell, int64_t grace_length_ms);
void presence_connected(struct presence *presence, int64_t mono_ms);
void presence_disconnected(struct presence *presence);

// Parameters of the statement that updates device_state: $1 holder, $2 connection, $3 when a row held now becomes due,
// $4 the same for a device that has not been seen in this connection, $5 whether that is later, $6 whether the broker
// was away, $7 our cell.
enum { PRESENCE_PARAMS = 7 };
struct presence_params {
	char due[24], grace_due[24];
	const char *values[PRESENCE_PARAMS];
};
void presence_params(const struct presence *presence, int64_t mono_ms, struct presence_params *out);
// A batch with evidence that a device has gone was committed.
void presence_held(struct presence *presence, int64_t mono_ms);

// -1: nothing waits.
int presence_timeout_ms(const struct presence *presence, int64_t mono_ms);
// At each connect to the database.
bool presence_prepare(struct pg *pg, struct error *error) must_check;
// Before the first batch of a connection: what is held from before it is held until the grace is over.
bool presence_extend(struct presence *presence, struct pg *pg, struct error *error) must_check;
// Applies what is due. Call it only when everything that came was read and committed, so that a broker that has gone
// would have been noticed.
bool presence_sweep(struct presence *presence, struct pg *pg, int64_t mono_ms, struct error *error) must_check;
// A last_seen ahead of the clock (which was set back) would count as fresh for as long: it becomes now.
bool presence_clamp(struct pg *pg, struct error *error) must_check;
