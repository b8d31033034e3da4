#include "common/crash.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool unknown(const char *text, const struct crash_name *names, size_t count, struct error *error)
{
	char list[400] = "";
	for (size_t i = 0; i < count; i++) {
		size_t used = strlen(list);
		(void)snprintf(list + used, sizeof(list) - used, "%s%s", i == 0 ? "" : ", ", names[i].name);
	}
	return error_set(error, ERROR_INVALID, "MUSTER_CRASH_AT=%.64s: no such point; there are %s", text, list);
}

bool crash_choose(struct crash *crash, const char *text, const struct crash_name *names, size_t count,
		  struct error *error)
{
	*crash = (struct crash){.at = 0};
	if (!text || !*text)
		return true;

	size_t name_bytes = strcspn(text, ":");
	unsigned long passes = 1;
	if (text[name_bytes] == ':') {
		char *end = NULL;
		passes = strtoul(text + name_bytes + 1, &end, 10);
		if (passes == 0 || passes > 1000000 || *end)
			return error_set(error, ERROR_INVALID,
					 "MUSTER_CRASH_AT=%.64s: expected <point>:<n>, n from 1 to 1000000", text);
	}
	for (size_t i = 0; i < count; i++) {
		if (strlen(names[i].name) == name_bytes && strncmp(names[i].name, text, name_bytes) == 0) {
			*crash = (struct crash){.at = names[i].point, .passes_left = (unsigned)passes};
			return true;
		}
	}
	return unknown(text, names, count, error);
}

void crash_here(struct crash *crash, int point)
{
	if (!crash || crash->at != point || --crash->passes_left > 0)
		return;
	(void)kill(getpid(), SIGKILL);
	for (;;)
		(void)pause();
}
