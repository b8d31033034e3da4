// The one door from the database to devices: checks requests, signs them, publishes them, and closes them with what the
// devices report.
//
// Everything runs in turns. A turn takes in what the broker and the database have to say, then does all the work that
// is due in transactions (turn.c): operators' requests, requests, results, cancelling, expiry, dispatch. What is to be
// published is collected meanwhile and leaves after COMMIT only, as do the PUBACKs of operators' requests. So a crash
// anywhere leaves either the whole step or none of it, and everything open is found again in the database at the next
// start: a command that was marked `sent` and not published is published again when its device comes online or after
// resend_s, byte for byte, and the device knows it by its id.
#pragma once

#include "commander/alert.h"
#include "commander/broker.h"
#include "commander/campaign.h"
#include "commander/console.h"
#include "commander/crash.h"
#include "commander/devices.h"
#include "commander/hook.h"
#include "commander/mail.h"
#include "commander/notify.h"
#include "commander/operator.h"
#include "commander/options.h"
#include "commander/outgoing.h"
#include "commander/revocation.h"
#include "commander/signing.h"
#include "commander/verifier.h"
#include "commander/wake.h"

#include "common/http.h"
#include "common/jws.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/mqtt.h"
#include "common/mqtt_unacked.h"
#include "common/part_state.h"
#include "common/pg.h"

#include <stdbool.h>

// Work that is due; set by notifications, timers and connections, cleared by the step that finds nothing more to do.
enum due {
	DUE_REQUESTS = 1 << 0,
	DUE_RESULTS = 1 << 1,
	DUE_EXPIRY = 1 << 2,
	DUE_DISPATCH = 1 << 3,	 // every device with a queued command
	DUE_RESEND = 1 << 4,	 // commands whose repetition is due, of devices that are online
	DUE_REVOCATION = 1 << 6, // the broker's revocation list, kicks, commands of devices enrolled again
	DUE_SCHEDULE = 1 << 7,	 // commands whose time has come
	DUE_CANCEL = 1 << 8,	 // commands that are to be cancelled
	DUE_RETELL = 1 << 9,	 // operators may have missed what the commander before us did last
	DUE_CAMPAIGNS = 1 << 12, // their devices, their rollout
	DUE_ALERTS = 1 << 14,	 // a rule, or the clocks
	DUE_NOTIFY = 1 << 15,	 // silences, messages about alerts
	DUE_SIGNERS = 1 << 13,	 // announcements of signing keys, new ones or to be told to devices
	DUE_CONSOLES = 1 << 16,	 // live consoles that have ended
	DUE_RESEND_ALL = 1 << 5, // commands unanswered since before resend_all_ms, of devices that are online
};

struct commander {
	const struct options *options;
	char cell[16]; // the option as a parameter of statements (cell.h)
	struct loop *loop;
	struct pg *pg;
	struct mqtt *mqtt;
	struct signing signing;

	struct operator_inbox inbox; // operators' requests, neither committed nor acknowledged
	struct outgoing outgoing;
	struct mqtt_unacked unacked;
	bool crowded;	       // no room among the unacked: what was dropped is published again when they are through
	struct devices online; // came online: publish again what they have not answered
	struct devices freed;  // answered, so the next command may go
	struct devices kicks;  // their sessions are to be cut, once
	struct revocation revocation;
	struct console_ends console_ends;
	struct wake wake;
	struct mail mail;
	struct alerts alerts;
	struct notify notify;
	struct hook hook;
	struct verifier *verifier;
	struct campaigns campaigns; // whose commands moved in this transaction
	unsigned due;
	int64_t resend_all_ms; // monotonic: when DUE_RESEND_ALL was set
	bool moved;	       // commands changed in this transaction: one NOTIFY
	struct crash crash;
	bool failed; // the last transaction failed: wait for the retry timer

	struct loop_watch *mqtt_watch, *pg_watch;
	int mqtt_fd;	 // that mqtt_watch watches; -1 for none
	bool pg_changed; // a new database connection: pg_watch is stale
	struct loop_timer *tick, *retry, *expiry, *resend;
	struct log_fault database_fault, broker_fault, silence_fault, work_fault, refused_fault;
	struct log_fault revocation_fault, part_fault;

	bool subscribed; // to operators' requests, once
	bool ready;	 // the supervisor was told
	struct part_state part;
	struct broker_report broker; // what the broker says of itself
	struct metrics *metrics;
	struct http_server *http; // NULL: off
};

// Makes something due, from a step or a callback.
void commander_due(struct commander *commander, unsigned due);

bool commander_init(struct commander *commander, const struct options *options, struct error *error) must_check;
void commander_done(struct commander *commander);
