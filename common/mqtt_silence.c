#include "common/mqtt_silence.h"

#include "common/limits.h"

void mqtt_silence_begin(struct mqtt_silence *silence, int64_t now_ms)
{
	*silence = (struct mqtt_silence){.limit_ms = silence->limit_ms, .heard_ms = now_ms, .looked_ms = now_ms};
}

void mqtt_silence_heard(struct mqtt_silence *silence, int64_t now_ms)
{
	silence->heard_ms = now_ms;
	silence->asking = silence->asked = silence->silent = false;
	silence->waited_ms = 0;
}

bool mqtt_silence_look(struct mqtt_silence *silence, int64_t now_ms)
{
	int64_t gap_ms = now_ms - silence->looked_ms;

	silence->looked_ms = now_ms;
	if (!silence->asking) {
		silence->asking = now_ms - silence->heard_ms >= MQTT_ASK_AFTER_MS;
		return silence->asking;
	}
	silence->waited_ms += gap_ms < MQTT_LOOK_MAX_MS ? gap_ms : MQTT_LOOK_MAX_MS;
	silence->silent = silence->waited_ms >= silence->limit_ms;
	return !silence->asked;
}

// Where the socket was full until now, the other side has read something meanwhile: it has all the time to answer.
void mqtt_silence_asked(struct mqtt_silence *silence)
{
	silence->asked = true;
	silence->silent = false;
	silence->waited_ms = 0;
}
