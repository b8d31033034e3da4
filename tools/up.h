// `muster up`: the local stack from nothing to proven, in steps. up.c orders them, up_check.c proves the whole way with
// real devices, up_block.c says how it went.
#pragma once

#include "common/pg.h"
#include "tools/cli.h"
#include "tools/stack.h"
#include "tools/supervisor.h"

#include <stdbool.h>
#include <stdint.h>

#define UP_STEPS_MAX 8
#define UP_READY_TIMEOUT_MS 60000 // a loaded machine and sanitizers

// Stages of the parts: what a part needs is in a lower one.
enum up_stage { UP_STAGE_DATABASE, UP_STAGE_BROKER, UP_STAGE_DAEMONS, UP_STAGE_DEVICES };

struct up_step {
	const char *name;
	int64_t took_ms;
};

// This machine's latest reading, as the database has it.
struct up_telemetry {
	char device[64];
	char json[2048]; // an object: ts, cpu_pct, mem_total, ...
};

struct up {
	struct cli *cli;
	struct stack stack;
	struct supervisor *supervisor;
	struct pg *admin; // as muster_admin
	bool check, detach, any_ports, agent, canary;
	long sims, sim_interval_ms;

	struct up_step steps[UP_STEPS_MAX];
	size_t step_count;
	int64_t begin_ms, step_ms; // monotonic
	bool first;		   // the state was made in this run
	char machine[64];	   // device id of this machine; "" without agent
	char example[64];	   // a device that is online
	long devices, pings_succeeded;
	struct up_telemetry telemetry;
	char *login_link;
	const char *next; // what to do about the step that failed; NULL: by its part
};

// Closes the step that began at the end of the last one.
void up_step(struct up *up, const char *name);

// ---- up_devices.c: enrolment of this machine and of the simulated devices ----
bool up_devices(struct up *up, struct error *error) must_check;

// ---- up_check.c ----
// A signed ping to each device; waits for every result in the database, and for this machine's telemetry.
bool up_check(struct up *up, struct error *error) must_check;

// ---- up_block.c ----
// The facts for run/up.json and --json.
struct json *up_facts(const struct up *up);
void up_print_block(const struct up *up);
// The facts with what is not kept in a file: the login link, the telemetry.
void up_print_json(const struct up *up);
// What failed: error, the last lines of that part's log, its path, the cure.
void up_print_failure(const struct up *up, const struct error *error);
