// What is done to many devices at once: a row of device_bulk, applied in steps, each a transaction of some 50 ms, in
// the order of the devices. Any dashboard takes a job on where another has left it.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/json.h"
#include "dashboard/auth.h"
#include "dashboard/dashboard.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BULK_REASON_MAX 200

struct bulk_verb {
	const char *name;
	const char *audit;   // action of the row for each device; NULL: the one for the whole is enough
	const char *members; // of params
	int roles;
	int step;	  // devices
	double device_ms; // what one takes
	bool group;	  // params name a group
	const char *sql;  // behind "next"; columns: looked at, the last one, changed, ids changed
};
const struct bulk_verb *bulk_verb_find(const char *name); // NULL: there is none
// Checks params and copies what belongs there. error.what ends in a full stop.
bool bulk_verb_params(const struct bulk_verb *verb, const struct json *params, struct json **out,
		      struct error *error) must_check;
// Whether these are so many that a person who was shown expected meant them: 2 % more or fewer at most.
bool bulk_is_expected(int64_t devices, int64_t expected);

struct bulk;
struct bulk *bulk_new(struct dashboard *dashboard, struct error *error) must_check;
void bulk_free(struct bulk *bulk);
DEFINE_CLEANUP(struct bulk, bulk_free)
// Works on jobs for about so long, and goes on by itself afterwards.
void bulk_work(struct bulk *bulk, int64_t ms);
