// Named points at which a fault test makes a program die without warning, as a power cut would. Compiled in always;
// idle, a point costs one comparison. The environment chooses: MUSTER_CRASH_AT=<point> dies at the first pass,
// MUSTER_CRASH_AT=<point>:<n> at the n-th. The program then sends itself SIGKILL.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

struct crash {
	int at; // the program's own number of the point; 0: none
	unsigned passes_left;
};

struct crash_name {
	const char *name;
	int point; // from 1
};

// Reads text as above; NULL or "" chooses none.
bool crash_choose(struct crash *crash, const char *text, const struct crash_name *names, size_t count,
		  struct error *error) must_check;
// Dies if the point is the chosen one and this is the pass. crash may be NULL.
void crash_here(struct crash *crash, int point);
