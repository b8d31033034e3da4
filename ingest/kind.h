// A kind of message: its parser, the table its rows go to, and what it tells about the device. Each is a file with
// one registration row at its end; a new one is written by copying inventory.c and adding it to inlet.c.
#pragma once

#include "ingest/copy.h"
#include "ingest/message.h"
#include "ingest/summary.h"

struct kind {
	enum topic_kind topic;
	const char *detail; // in the subscription filter; NULL without

	// Bytes to rows, nothing else. Fills out->stamps, rows and count (0: nothing to keep). On failure error says
	// what is wrong, and out->stamps holds what could be read of them.
	bool (*parse)(const struct input *in, struct arena *arena, struct message *out, struct error *error);
	// What row tells about the device; NULL: nothing beyond being alive.
	void (*tell)(const struct message *message, size_t row, struct device_summary *device);

	// Rows are copied to a temporary table and inserted from there. All NULL for a kind without a table.
	const char *stage_sql; // makes the temporary table
	const char *copy_sql;  // empties it first
	const char *insert_sql;
	// The same COPY straight into the table, which is the fast way: it fails where a row is stored already. NULL
	// for a kind whose rows replace others.
	const char *direct_sql;
	void (*write)(struct copy *copy, const struct message *message, size_t row);
	// Counts into ledger the staged rows that an earlier transaction stored already; NULL where the table cannot
	// tell.
	const char *repeated_sql;
	const char *notify_sql; // to wake whoever waits for such rows; NULL without
};

extern const struct kind telemetry_kind, event_kind, limit_kind, inventory_kind, result_kind, output_kind, status_kind;

// The rows of this transaction carry its own id in xmin; the others were there before. The same seq twice in one
// batch is counted by summary.c. "offset 0" keeps the lookup a lookup: one of the index for each staged row.
#define REPEATED_SQL(table, also)                                                                        \
	"update ledger l set duplicates = l.duplicates + r.n from (select s.device, s.epoch, "           \
	"count(distinct s.seq) as n from stage_" table " s cross join lateral (select from " table " t " \
	"where t.device = s.device and t.epoch = s.epoch and t.seq = s.seq" also                         \
	" and t.xmin <> pg_current_xact_id()::xid offset 0) t group by s.device, s.epoch) r "            \
	"where l.device = r.device and l.epoch = r.epoch"
