#include "commander/turn.h"

#include "commander/cancel.h"
#include "commander/commander.h"
#include "commander/console.h"
#include "commander/dispatch.h"
#include "commander/expiry.h"
#include "commander/request.h"
#include "commander/result.h"
#include "commander/retell.h"
#include "commander/revocation.h"
#include "commander/wake.h"
#include "commander/sweep.h"

#include "common/topic.h"

#include <string.h>

#define ROUNDS_MAX 8 // transactions in one turn

static bool is_due(const struct commander *commander)
{
	return commander->due != 0 || commander->inbox.count > 0 || commander->online.count > 0 ||
	       commander->freed.count > 0 || wake_is_due(&commander->wake) || mail_is_due(&commander->mail) ||
	       hook_is_due(&commander->hook);
}

static bool run_steps(struct commander *commander, struct error *error)
{
	// Keys come before anything that is signed with them; and what was revoked before anything is sent to a device
	// that came online: it may have been enrolled again.
	return (!(commander->due & DUE_SIGNERS) || signing_run(commander, error)) &&
	       ((!(commander->due & DUE_REVOCATION) && commander->online.count == 0) ||
		revocation_run(commander, error)) &&
	       (!(commander->due & DUE_CONSOLES) || console_run(commander, error)) &&
	       (!(commander->due & DUE_RETELL) || retell_run(commander, error)) &&
	       (commander->inbox.count == 0 || operator_run(commander, error)) &&
	       (!(commander->due & DUE_REQUESTS) || request_run(commander, error)) &&
	       (!(commander->due & DUE_RESULTS) || result_run(commander, error)) &&
	       (!(commander->due & DUE_CANCEL) || cancel_run(commander, error)) &&
	       (!(commander->due & DUE_EXPIRY) || expiry_run(commander, error)) && dispatch_run(commander, error) &&
	       wake_run(commander, error) && mail_run(commander, error) &&
	       sweep_run(commander, error) && // last: its locks are held for a moment only, as are those of alerts
	       alert_run(commander, error) && notify_run(commander, error) && hook_run(commander, error) &&
	       (!commander->moved || pg_exec(commander->pg, "notify muster_command", error));
}

static bool commit(struct commander *commander, struct error *error)
{
	if (commander->moved)
		crash_here(&commander->crash, CRASH_COMMIT);
	if (!pg_commit(commander->pg, error))
		return false;
	if (commander->moved)
		crash_here(&commander->crash, CRASH_COMMITTED);
	return true;
}

// One transaction with a step of everything. On failure the lists may have lost what was rolled back: then all devices
// are looked at.
static bool run_transaction(struct commander *commander, struct error *error)
{
	unsigned due = commander->due;
	bool listed = commander->online.count > 0 || commander->freed.count > 0;

	commander->moved = false;
	if (pg_begin(commander->pg, error) && run_steps(commander, error) && commit(commander, error)) {
		outgoing_commit(&commander->outgoing);
		operator_inbox_clear(&commander->inbox);
		wake_committed(commander);
		mail_committed(commander);
		hook_committed(commander);
		return true;
	}
	pg_rollback(commander->pg);
	outgoing_rollback(&commander->outgoing);
	revocation_rolled_back(commander);
	console_tell_all(commander);
	wake_rolled_back(&commander->wake);
	mail_rolled_back(&commander->mail);
	hook_rolled_back(&commander->hook);
	campaign_forget(&commander->campaigns);
	signing_connected(commander);
	commander->due |= due;
	if (listed)
		commander_due(commander, DUE_DISPATCH | DUE_RESEND_ALL);
	return false;
}

static void note_notification(void *user, const char *channel, const char *payload)
{
	struct commander *commander = user;

	if (strcmp(channel, "muster_request") == 0)
		commander->due |= DUE_REQUESTS;
	else if (strcmp(channel, "muster_cancel") == 0)
		commander->due |= DUE_CANCEL;
	else if (strcmp(channel, "muster_result") == 0)
		commander->due |= DUE_RESULTS;
	else if (strcmp(channel, "muster_wake") == 0)
		wake_look(&commander->wake);
	else if (strcmp(channel, "muster_alert_rule") == 0)
		commander->due |= DUE_ALERTS;
	else if (strcmp(channel, "muster_alert_channel") == 0)
		commander->due |= DUE_NOTIFY;
	else if (strcmp(channel, "muster_mail") == 0)
		mail_look(&commander->mail);
	else if (strcmp(channel, "muster_console") == 0)
		console_ended(commander, payload);
	else if (strcmp(channel, "muster_campaign") == 0)
		commander->due |= DUE_CAMPAIGNS;
	else if (strcmp(channel, "muster_revocation") == 0 ||
		 (strcmp(channel, "muster_kick") == 0 && topic_is_device_id(payload) &&
		  devices_add(&commander->kicks, payload)))
		commander->due |= DUE_REVOCATION;
}

void turn_work(struct commander *commander)
{
	struct error error = {0};

	if (commander->failed)
		return;
	if (!pg_ready(commander->pg, &error)) {
		commander->failed = true;
		log_fault(&commander->database_fault, "database.away", &error);
		return;
	}
	log_fault_over(&commander->database_fault, "database.away");
	for (int round = 0; round < ROUNDS_MAX; round++) {
		// Also those that came in together with the answers of the last transaction.
		if (!pg_notifications(commander->pg, note_notification, commander, &error))
			break;
		if (!is_due(commander)) {
			log_fault_over(&commander->work_fault, "work.failed");
			return;
		}
		if (!run_transaction(commander, &error))
			break;
	}
	if (error.kind == ERROR_NONE)
		return;
	commander->failed = true;
	log_fault(error.kind == ERROR_UNREACHABLE ? &commander->database_fault : &commander->work_fault,
		  error.kind == ERROR_UNREACHABLE ? "database.away" : "work.failed", &error);
}
