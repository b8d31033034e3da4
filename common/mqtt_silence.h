// Whether the other side of a connection that stands still answers: a process that was stopped, or a machine that
// hangs, keeps its TCP connections, and the keepalive, which ends them, may take minutes on purpose. Pure;
// common/mqtt.c asks.
//
// A loaded machine must not look like a dead broker. Waiting therefore counts only as far as we ourselves were looking:
// where our own looks come late, a broker beside us may be as late, and the wait grows in the same measure.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct mqtt_silence {
	int64_t limit_ms;  // without an answer; 0: nobody asks
	int64_t heard_ms;  // when something last came
	int64_t looked_ms; // when it was last looked
	int64_t waited_ms; // for the answer, as far as it counts
	bool asking;	   // nothing came for a while
	bool asked;	   // and the question has left
	bool silent;
};

void mqtt_silence_begin(struct mqtt_silence *silence, int64_t now_ms);
void mqtt_silence_heard(struct mqtt_silence *silence, int64_t now_ms);
// At least every MQTT_LOOK_MS. True: a PINGREQ should leave now; mqtt_silence_asked when it has.
bool mqtt_silence_look(struct mqtt_silence *silence, int64_t now_ms);
void mqtt_silence_asked(struct mqtt_silence *silence);
