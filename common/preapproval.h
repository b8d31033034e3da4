// The list of serial numbers whose devices are let in without asking: read from CSV, written to the database as a whole
// or not at all.
#pragma once

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/error.h"
#include "common/pg.h"

#include <stdbool.h>
#include <stddef.h>

#define PREAPPROVAL_FILE_MAX_BYTES ((size_t)16 * 1024 * 1024)
#define PREAPPROVAL_FAULTS_MAX 20 // told; the others are counted

struct preapproval {
	size_t line; // from 1
	char *serial;
	char *device; // "": its wish, or an id is made
	char *tags;   // separated by commas
};

struct preapprovals {
	struct preapproval *items; // in the order of the file
	size_t count, capacity;
};

// CSV (RFC 4180), a line each: serial,device,tags, of which the last two may be missing; a first line that names these
// columns, empty lines and those that begin with # are left out. Tags are separated by ";", or by "," within quotes.
// False when a line is at fault; faults gets "line 3: why\n" for each. out must be done with in every case.
bool preapprovals_parse(const char *text, struct preapprovals *out, struct buf *faults) must_check;
void preapprovals_done(struct preapprovals *list);
#define auto_preapprovals cleanup(preapprovals_done)

struct preapproval_counts {
	long added, changed, unchanged;
	long used; // let a device in already: left as they are
};
#define PREAPPROVAL_TOLD_BYTES 160
// The counts as a JSON object.
void preapprovals_told(const struct preapproval_counts *counts, char out[PREAPPROVAL_TOLD_BYTES]);

// Both within the caller's transaction, whose the audit is too. ERROR_EXISTS when faults says which lines can't be.
bool preapprovals_import(struct pg *pg, const struct preapprovals *list, const char *actor,
			 struct preapproval_counts *out, struct buf *faults, struct error *error) must_check;
// ERROR_NOT_FOUND when there is none with this serial number.
bool preapproval_remove(struct pg *pg, const char *serial, struct error *error) must_check;
