// How soon a device that sleeps does what it is asked: real agents that connect on demand, a simulated push service,
// and everything between.
#pragma once

#include "tools/bench/simulator.h"
#include "tools/bench/stage.h"

enum { WAKING_AGENTS_MAX = 50 };

// From the request on, in ms. The first three by the database's clock, the others by that of whoever asked.
enum waking_step { WAKING_PUSHED, WAKING_CONTACT, WAKING_ACCEPTED, WAKING_STORED, WAKING_CLOSED, WAKING_STEPS };

struct waking {
	long agents, rounds;	     // rounds: commands, one after the other, to each agent in turn
	double *times_ms[WAKING_STEPS]; // rounds each, sorted; waking_done
};

const char *waking_step_name(enum waking_step step);
// Starts commander anew, with the simulator as its push service; broker and ingest run.
bool waking_run(struct stage *stage, struct simulator *simulator, struct waking *waking,
		struct error *error) must_check;
void waking_done(struct waking *waking);
