// One command asked for, and how long it took.
#pragma once

#include "common/error.h"
#include "common/pg.h"

enum { ASKING_ID_BYTES = 37 };

struct asking {
	char id[ASKING_ID_BYTES];
	// From before its request until the result was seen committed, and until the command was closed.
	double stored_ms, closed_ms;
};

// Lifts the limit of the one who asks, and listens.
bool asking_begin(struct pg *pg, struct error *error) must_check;
// Asks for a ping, and waits until it is closed.
bool asking_once(struct pg *pg, const char *device, struct asking *out, struct error *error) must_check;
bool asking_end(struct pg *pg, struct error *error) must_check;

// Sorts, so that asking_percentile can be asked.
void asking_sort(double *times_ms, long count);
double asking_percentile(const double *sorted_ms, long count, double share); // 0 without any
