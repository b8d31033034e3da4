#include "commander/crash.h"

#include <stdlib.h>

static const struct crash_name points[] = {
	{"signed", CRASH_SIGNED}, {"result.read", CRASH_RESULT_READ},
	{"commit", CRASH_COMMIT},		  {"committed", CRASH_COMMITTED},
	{"published", CRASH_PUBLISHED},
};

bool commander_crash_init(struct crash *crash, struct error *error)
{
	const char *text = getenv("MUSTER_CRASH_AT"); // NOLINT(concurrency-mt-unsafe): one thread

	return crash_choose(crash, text, points, sizeof(points) / sizeof(points[0]), error);
}
