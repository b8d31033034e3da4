// Hands over what waits in the table mail to an SMTP server: password resets, alerts.
//
// A mail that is due is claimed in the turn's transaction ("for update skip locked", next_at moved on by a lease),
// leaves after COMMIT, and what came of it is stored by a later turn. So a commander that dies in between costs the
// lease, and perhaps a second copy with the same Message-ID; several commanders share the work. What the server refuses
// for good is given up; everything else is tried again, rarer each time, until the mail expires. What was sent or given
// up keeps no body: it may hold a link that lets somebody in.
#pragma once

#include "commander/breaker.h"

#include "common/error.h"
#include "common/log.h"
#include "common/smtp.h"

#include <stdbool.h>
#include <stdint.h>

struct commander;
struct options;
struct mail_sending; // one on its way, or ended and not stored

struct mail {
	struct smtp *smtp; // NULL: no server is configured, and mails wait until they expire
	struct breaker breaker;
	struct mail_sending *claimed, *ended; // to leave after COMMIT; to be stored
	bool look;			      // at what is due
	int64_t tidied_ms;		      // monotonic: when old mails were last deleted; 0: not yet
	struct log_fault fault;
};

// Logs once whether mails can be sent; when they can't, all else works.
void mail_init(struct commander *commander);
void mail_done(struct mail *mail);

void mail_look(struct mail *mail); // each second, and when somebody inserted one
bool mail_is_due(const struct mail *mail);

// The step of a turn, in its transaction; then one of the other two.
bool mail_run(struct commander *commander, struct error *error) must_check;
void mail_committed(struct commander *commander);
void mail_rolled_back(struct mail *mail);

void mail_show_metrics(struct commander *commander);
struct json *mail_health(struct mail *mail); // {"state":"ready","breaker":"closed",..}

// ---- what is decided, apart from where the facts come from ----

enum mail_verdict {
	MAIL_SENT,
	MAIL_REFUSED, // for good: by the server, for what it is
	MAIL_LATER,   // the server is there, and wants it later
	MAIL_AWAY,    // it is not there, or lets us not in
};
enum mail_verdict mail_judge(const struct smtp_outcome *outcome);
// Until the next try: doubling from retry_s to an hour, at least half of it, at random beyond.
int64_t mail_retry_s(int64_t retry_s, int64_t attempts);
