// The scripts by which devices are enrolled over adb, from the templates in dashboard/script: computer.sh or
// computer.bat, and in each of them the device's part, device.sh, and the table of faults. Pure.
#pragma once

#include "common/buf.h"
#include "common/error.h"

#include <stdbool.h>

enum script_kind { SCRIPT_BASH, SCRIPT_WINDOWS };

#define SCRIPT_MAX_BYTES 262144

struct script_values {
	const char *bridge;        // https://<host>:<port>
	const char *token;         // enrolment token; "": the script asks for one
	const char *authority;     // PEM: whom to trust for the bridge
	const char *configuration; // of the agent
	const char *packages;      // a line each: ABI, name, SHA-256
};

bool script_kind_parse(const char *name, enum script_kind *out); // "bash", "windows"
const char *script_file(enum script_kind kind);                  // "muster-enroll.sh"
// Appends the script to out. Values stand in it as quoted texts of its language; ERROR_INVALID for one that is not
// printable ASCII and line feeds.
bool script_make(enum script_kind kind, const struct script_values *values, struct buf *out, struct error *error)
	must_check;
