// Says in the table ingest_sight that devices can be seen: that there is a connection to the broker since then, and
// that everything that came over it was read and committed. Who judges the silence of devices must know whether they
// could have been heard, and who asks how far behind ingest is reads it there, too.
#pragma once

#include "common/pg.h"

#include <stdbool.h>
#include <stdint.h>

#define SIGHT_EVERY_MS 2000

struct sight {
	char client[128], cell[16];
	bool connected;
	int64_t connected_ms, due_ms; // monotonic
};

void sight_init(struct sight *sight, const char *client_id, long cell);
void sight_connected(struct sight *sight, int64_t mono_ms);
void sight_lost(struct sight *sight);
int sight_timeout_ms(const struct sight *sight, int64_t mono_ms); // -1: nothing to say
// Call it only when everything that came was read and committed.
bool sight_tell(struct sight *sight, struct pg *pg, int64_t mono_ms, struct error *error) must_check;
