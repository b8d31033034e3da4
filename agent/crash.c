#include "agent/crash.h"

static const struct crash_name points[] = {
	{ "outbox.commit", CRASH_OUTBOX_COMMIT },   { "publish", CRASH_PUBLISH }, { "puback", CRASH_PUBACK },
	{ "stored", CRASH_STORED },                 { "command.stored", CRASH_COMMAND_STORED },
	{ "register.key", CRASH_REGISTER_KEY },     { "register.secret", CRASH_REGISTER_SECRET },
	{ "register.asked", CRASH_REGISTER_ASKED }, { "register.answered", CRASH_REGISTER_ANSWERED },
	{ "register.kept", CRASH_REGISTER_KEPT },
	{ "renew.key", CRASH_RENEW_KEY },           { "renew.answer", CRASH_RENEW_ANSWER },
	{ "renew.tried", CRASH_RENEW_TRIED },       { "renew.replaced", CRASH_RENEW_REPLACED },
};

bool crash_init(struct crash *crash, const char *text, struct error *error)
{
	return crash_choose(crash, text, points, sizeof(points) / sizeof(points[0]), error);
}
