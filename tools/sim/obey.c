#include "tools/sim/obey.h"

#include "common/action.h"
#include "common/clock.h"
#include "common/command.h"
#include "common/signers.h"
#include "tools/sim/device.h"
#include "tools/sim/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMBERS_MAX_BYTES COMMAND_RESULT_MAX_BYTES
#define ACCEPTED "\"state\":\"accepted\""
#define FORESTALLED "\"state\":\"cancelled\",\"reason\":\"cancelled before it came\""

void obey_done(struct obey *obey)
{
	for (size_t i = 0; i < OBEY_RECORDS; i++)
		free(obey->records[i].members);
	memset(obey, 0, sizeof(*obey));
}

static struct obey_record *find(struct obey *obey, const char *id)
{
	for (size_t i = 0; i < OBEY_RECORDS; i++) {
		if (obey->records[i].members && strcmp(obey->records[i].id, id) == 0)
			return &obey->records[i];
	}
	return NULL;
}

const struct obey_record *obey_find(const struct obey *obey, const char *id)
{
	return find((struct obey *)obey, id);
}

bool obey_remember(struct obey *obey, int64_t counter, const char *id, const char *members)
{
	struct obey_record *record = find(obey, id);
	char *copy = strdup(members);

	if (!copy)
		return false;
	if (!record) {
		record = &obey->records[obey->next];
		obey->next = (obey->next + 1) % OBEY_RECORDS;
		(void)snprintf(record->id, sizeof(record->id), "%s", id);
	}
	free(record->members);
	record->members = copy;
	if (counter > obey->counter_high)
		obey->counter_high = counter;
	return true;
}

bool obey_replay(struct obey *obey, const char *device, const char *line)
{
	char name[DEVICE_ID_MAX + 1];
	char id[COMMAND_ID_BYTES];
	char number[24];
	auto_buf struct buf members = {.data = NULL};
	int at = 0;
	char *end;

	if (sscanf(line, "%63s %20s %36s %n", name, number, id, &at) != 3 || at == 0 || strcmp(name, device) != 0)
		return false;
	long long counter = strtoll(number, &end, 10);
	size_t len_bytes = strcspn(line + at, "\n");
	if (*end || counter < 0 || line[at + (int)len_bytes] != '\n') // no newline: torn by a crash, never relied upon
		return false;
	buf_init(&members, MEMBERS_MAX_BYTES);
	if (!buf_add(&members, line + at, len_bytes) || !obey_remember(obey, counter, id, buf_str(&members)))
		return false;
	// The process itself went down before the result was known: for the device that is the reboot.
	bool open = strcmp(buf_str(&members), ACCEPTED) == 0;
	if (open)
		(void)snprintf(obey->rebooting, sizeof(obey->rebooting), "%s", id);
	else if (strcmp(obey->rebooting, id) == 0)
		obey->rebooting[0] = '\0';
	return true;
}

// The journal is flushed before anything of this turn is sent: so the command is remembered before its effect shows.
static void answer(struct device *device, int64_t counter, const char *id, const char *members)
{
	if (!obey_remember(&device->obey, counter, id, members))
		return;
	ledger_addf(&device->shared->journal, "%s %" PRId64 " %s %s\n", device->identity.device, counter, id, members);
	report_result(device, id, members);
}

static void reject(struct device *device, const struct command *command, const char *reason)
{
	auto_buf struct buf members;

	buf_init(&members, MEMBERS_MAX_BYTES);
	buf_add_str(&members, "\"state\":\"rejected\",\"reason\":");
	json_quote(&members, reason);
	answer(device, command->counter, command->id, buf_str(&members));
}

static void ping(struct device *device, const struct command *command)
{
	auto_buf struct buf members;

	buf_init(&members, MEMBERS_MAX_BYTES);
	buf_addf(&members, "\"state\":\"succeeded\",\"output\":{\"pong\":true,\"uptime_s\":%" PRId64 "}",
		 device_uptime_s(device));
	answer(device, command->counter, command->id, buf_str(&members));
}

static void set_interval(struct device *device, const struct command *command)
{
	auto_buf struct buf members;
	int64_t seconds = 0;

	buf_init(&members, MEMBERS_MAX_BYTES);
	if (!json_member_int(command->params, "seconds", &seconds))
		return; // checked before
	device_set_interval(device, seconds * 1000);
	buf_addf(&members, "\"state\":\"succeeded\",\"output\":{\"seconds\":%" PRId64 "}", seconds);
	answer(device, command->counter, command->id, buf_str(&members));
}

static void start_reboot(struct device *device, const struct command *command)
{
	(void)snprintf(device->obey.rebooting, sizeof(device->obey.rebooting), "%s", command->id);
	device_reboot(device);
}

// Nothing that can be cancelled runs here for longer than its turn: either it has ended, or it has not come yet.
static void cancel(struct device *device, const struct command *command)
{
	auto_buf struct buf members;
	const char *id = NULL;

	buf_init(&members, MEMBERS_MAX_BYTES);
	if (!json_member_string(command->params, "command", &id))
		return; // checked before
	if (obey_find(&device->obey, id)) {
		answer(device, command->counter, command->id,
		       "\"state\":\"failed\",\"reason\":\"it has ended\"");
		return;
	}
	answer(device, 0, id, FORESTALLED);
	buf_add_str(&members, "\"state\":\"succeeded\",\"output\":{\"command\":");
	json_quote(&members, id);
	buf_add_str(&members, "}");
	answer(device, command->counter, command->id, buf_str(&members));
}

static const struct deed {
	const char *action;
	void (*run)(struct device *device, const struct command *command);
} deeds[] = {
	{"ping", ping},
	{"set_interval", set_interval},
	{"reboot", start_reboot},
	{"cancel", cancel},
};

static void obey_valid(struct device *device, const struct command *command)
{
	const struct action *action = action_find(command->action);
	struct error error = {.kind = ERROR_NONE};

	device->obey.floor_s = command->issued_s > device->obey.floor_s ? command->issued_s : device->obey.floor_s;
	for (size_t i = 0; action && i < sizeof(deeds) / sizeof(deeds[0]); i++) {
		if (strcmp(deeds[i].action, command->action) != 0)
			continue;
		if (!action_check_params(action, command->params, &error)) {
			reject(device, command, error.what);
			return;
		}
		answer(device, command->counter, command->id, ACCEPTED);
		deeds[i].run(device, command);
		return;
	}
	reject(device, command, "this device does not know the action");
}

static bool seen(void *user, const char *jti)
{
	return obey_find(user, jti) != NULL;
}

// Kept in memory only: a device that starts anew says what it had from its enrolment, and is told again.
static void take_signers(struct device *device, const char *jws, size_t jws_bytes)
{
	struct identity *identity = &device->identity;
	struct error error = {.kind = ERROR_NONE};
	struct signers signers;
	struct jws_key *keys;

	if (!signers_verify(jws, jws_bytes, identity->keys, identity->key_count, &signers, &error)) {
		report_event(device, "command.refused", error.what);
		return;
	}
	if (signers.version <= identity->signers)
		return;
	keys = calloc(signers.count, sizeof(*keys));
	if (!keys)
		return;
	memcpy(keys, signers.keys, signers.count * sizeof(*keys));
	free(identity->keys);
	identity->keys = keys;
	identity->key_count = signers.count;
	identity->signers = signers.version;
	(void)report_hello(device); // lost, it is told once more
}

void obey_command(struct device *device, const char *jws, size_t jws_bytes)
{
	struct obey *obey = &device->obey;
	struct error error = {.kind = ERROR_NONE};
	struct command command;
	int64_t now_s = clock_wall_ms() / 1000;
	const struct command_context context = {
		.device = device->identity.device,
		.keys = device->identity.keys,
		.key_count = device->identity.key_count,
		.now_s = now_s > obey->floor_s ? now_s : obey->floor_s,
		.counter_high = obey->counter_high,
		.seen = seen,
		.user = obey,
	};

	if (jws_has_typ(jws, jws_bytes, SIGNERS_TYP)) {
		take_signers(device, jws, jws_bytes);
		return;
	}
	device->shared->totals.commands++;
	enum command_verdict verdict = command_check(jws, jws_bytes, &context, &command, &error);
	if (verdict != COMMAND_OK && verdict != COMMAND_REPEATED)
		device->shared->totals.refused++;
	switch (verdict) {
	case COMMAND_BAD_FORM: // nothing to free
		report_event(device, "command.refused", error.what);
		return;
	case COMMAND_OK:
		obey_valid(device, &command);
		break;
	case COMMAND_REPEATED:
		report_result(device, command.id, obey_find(obey, command.id)->members);
		break;
	case COMMAND_NOT_MINE:
		report_event(device, "command.refused", error.what);
		break;
	case COMMAND_EXPIRED:
		command.counter = obey->counter_high; // the mark is for accepted ones
		reject(device, &command, "expired");
		break;
	case COMMAND_REPLAYED:
		reject(device, &command, "its counter is not above the last one obeyed");
		break;
	}
	command_done(&command);
}

void obey_rebooted(struct device *device)
{
	char id[COMMAND_ID_BYTES];
	auto_buf struct buf members;

	buf_init(&members, MEMBERS_MAX_BYTES);
	if (!device->obey.rebooting[0])
		return;
	(void)snprintf(id, sizeof(id), "%s", device->obey.rebooting);
	device->obey.rebooting[0] = '\0';
	buf_addf(&members, "\"state\":\"succeeded\",\"output\":{\"boot_id\":\"%s\"}", device->boot_id);
	answer(device, device->obey.counter_high, id, buf_str(&members));
}
