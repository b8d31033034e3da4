// What changes in the database, for the live streams: one connection that listens, and one statement a kind and set of
// changes, however many streams there are. A new kind is a row of feed_sources.
#pragma once

#include "common/cleanup.h"
#include "common/crypto.h"
#include "common/error.h"
#include "common/pg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FEED_CHANGES_MAX 500 // of one kind in one set; beyond, whoever wants them all is told to ask again
#define FEED_NAMED_MAX 2000  // the same of devices that are named, and of what is sent again

// Of a device d: its tenant, and its groups as scope_sees takes them. A row of no device has its tenant (null: of none
// in particular, for those who see all) and null.
#define FEED_SCOPE_SQL \
	"d.tenant, (select string_agg(m.group_name, ',') from device_group_member m" \
	" where m.device = d.device and m.tenant = d.tenant)"

enum feed_kind {
	FEED_DEVICES,
	FEED_COMMANDS,
	FEED_EVENTS,
	FEED_OUTPUTS,
	FEED_REGISTRATIONS,
	FEED_CAMPAIGNS,
	FEED_AUDIT,
	FEED_ALERTS,
	FEED_EXPORTS,
	FEED_KINDS,
};

enum feed_bound {
	FEED_UNBOUND,	 // devices that are named do not bound it
	FEED_OWN,	 // likewise; rows are one person's, whom the column of the device names
	FEED_BY_DEVICE,	 // rows belong to devices
	FEED_NAMED_ONLY, // likewise, and too many to be wanted of all
};

struct feed_source {
	const char *name; // the topic, and the event
	// $1 changed after (microseconds since 1970), $2 at most, $3 of these devices (text[], null: any). Columns:
	// key, when in microseconds, JSON, device (null: of none), and FEED_SCOPE_SQL or its like. The latest
	// first.
	const char *sql;
	const char *channels[2]; // notifications after which there may be something
	enum feed_bound bound;
	int roles; // who may have it, bits of enum role
};
extern const struct feed_source feed_sources[FEED_KINDS];

struct feed_row {
	const char *key, *json, *device, *tenant, *groups;
	int64_t changed_us;
	bool fresh; // not sent before
};

struct feed_rows {
	struct pg_result *result; // which the texts belong to
	struct feed_row *rows;
	size_t count;
	bool more;	   // than were asked for
	int64_t whole_us;  // all after this are here
};

void feed_rows_done(struct feed_rows *rows);
#define auto_feed_rows cleanup(feed_rows_done)

struct dashboard;
struct feed;

// due is called when there may be something to ask for; away when the connection is lost, or is back.
struct feed_owner {
	void (*due)(void *user);
	void (*away)(void *user, bool away);
	void *user;
};
struct feed *feed_new(struct dashboard *dashboard, const struct feed_owner *owner, struct error *error) must_check;
void feed_free(struct feed *feed);
DEFINE_CLEANUP(struct feed, feed_free)

// Connects if need be; false (and away) while that cannot be.
bool feed_ready(struct feed *feed);
bool feed_is_away(const struct feed *feed);
// A statement failed: the connection is made anew.
void feed_lost(struct feed *feed, const struct error *error);

int64_t feed_now_us(const struct feed *feed); // by the database's clock
bool feed_set_clock(struct feed *feed, struct error *error) must_check;
// Nobody wants these now: what is found when somebody does is what changed from here on.
void feed_skip(struct feed *feed, enum feed_kind kind, bool named);
// Of the kinds that were notified since they were last asked for.
unsigned feed_due_kinds(const struct feed *feed);

// What changed since the last call; devices (a text[]) NULL: of any. Notes what it gave.
bool feed_changes(struct feed *feed, enum feed_kind kind, const char *devices, struct feed_rows *out,
		  struct error *error) must_check;
// What changed after since_us, whatever was given before.
bool feed_again(struct feed *feed, enum feed_kind kind, const char *devices, int64_t since_us, struct feed_rows *out,
		struct error *error) must_check;
// Notifications that came in with the answers to statements.
bool feed_hear(struct feed *feed, struct error *error) must_check;
// For the owner's own statements.
struct pg *feed_pg(struct feed *feed);
