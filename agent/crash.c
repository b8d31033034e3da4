#include "agent/crash.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *name;
	enum crash_point point;
} points[] = {
	{ "outbox.commit", CRASH_OUTBOX_COMMIT },   { "publish", CRASH_PUBLISH }, { "puback", CRASH_PUBACK },
	{ "stored", CRASH_STORED },                 { "command.stored", CRASH_COMMAND_STORED },
	{ "register.key", CRASH_REGISTER_KEY },     { "register.secret", CRASH_REGISTER_SECRET },
	{ "register.asked", CRASH_REGISTER_ASKED }, { "register.answered", CRASH_REGISTER_ANSWERED },
	{ "register.kept", CRASH_REGISTER_KEPT },
	{ "renew.key", CRASH_RENEW_KEY },           { "renew.answer", CRASH_RENEW_ANSWER },
	{ "renew.tried", CRASH_RENEW_TRIED },       { "renew.replaced", CRASH_RENEW_REPLACED },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

bool crash_init(struct crash *crash, const char *text, struct error *error)
{
	*crash = (struct crash){ .at = CRASH_NONE };
	if (!text || !*text)
		return true;

	size_t name_bytes = strcspn(text, ":");
	unsigned long passes = 1;

	if (text[name_bytes] == ':') {
		char *end = NULL;

		passes = strtoul(text + name_bytes + 1, &end, 10);
		if (passes == 0 || passes > 1000000 || *end)
			return error_set(error, ERROR_INVALID, "MUSTER_CRASH_AT=%s: expected <point>:<n>, n from 1 to "
					 "1000000", text);
	}
	for (size_t i = 0; i < COUNT(points); i++) {
		if (strlen(points[i].name) == name_bytes && strncmp(points[i].name, text, name_bytes) == 0) {
			*crash = (struct crash){ .at = points[i].point, .passes_left = (unsigned)passes };
			return true;
		}
	}
	return error_set(error, ERROR_INVALID, "MUSTER_CRASH_AT=%s: no such point; there are outbox.commit, publish, "
			 "puback, stored, command.stored, register.key, .secret, .asked, .answered, .kept and renew.key, "
			 ".answer, .tried, .replaced", text);
}

void crash_here(struct crash *crash, enum crash_point point)
{
	if (!crash || crash->at != point || --crash->passes_left > 0)
		return;
	(void)kill(getpid(), SIGKILL);
	for (;;)
		(void)pause();
}
