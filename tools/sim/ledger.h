// A file that only grows, and in which lines are durable before anybody may rely on them: lines are gathered in
// memory, and one write and fdatasync per turn of the loop makes them so.
#pragma once

#include "common/buf.h"
#include "common/error.h"

#include <stdbool.h>

struct ledger {
	int fd; // -1: no file was asked for, and all of it does nothing
	struct buf pending;
};

// path NULL: no file.
bool ledger_open(struct ledger *ledger, const char *path, struct error *error) must_check;
void ledger_close(struct ledger *ledger); // what is pending is lost
void ledger_addf(struct ledger *ledger, const char *format, ...) __attribute__((format(printf, 2, 3)));
// False: nothing that was added since the last flush may be used.
bool ledger_flush(struct ledger *ledger, struct error *error) must_check;
