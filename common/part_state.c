#include "common/part_state.h"

#include "common/clock.h"

#include <stdio.h>
#include <unistd.h>

#define EVERY_MS 10000

static const char tell_sql[] = "select tell_part($1, $2, $3, $4::timestamptz, $5, $6::jsonb)";

void part_state_init(struct part_state *state, const char *part, const char *name, long cell)
{
	*state = (struct part_state){.part = part, .started_ms = clock_wall_ms()};
	if (cell > 0)
		(void)snprintf(state->instance, sizeof(state->instance), "%s@%ld", name, cell);
	else
		(void)snprintf(state->instance, sizeof(state->instance), "%s", name);
}

bool part_state_due(const struct part_state *state, bool well, int64_t mono_ms)
{
	return mono_ms >= state->next_ms || well != state->well;
}

bool part_state_tell(struct part_state *state, struct pg *pg, const char *why, struct json *detail, struct error *error)
{
	auto_json struct json *facts = detail ? detail : json_new_object();
	char started[CLOCK_RFC3339_BYTES];
	char because[PART_STATE_WHY_MAX + 1];
	char host[256];

	state->next_ms = clock_mono_ms() + EVERY_MS;
	state->well = !why;
	if (gethostname(host, sizeof(host)) == 0) {
		host[sizeof(host) - 1] = '\0';
		json_set_string(facts, "host", host);
	}
	json_set_int(facts, "pid", getpid());
	clock_format_rfc3339(state->started_ms, started);
	(void)snprintf(because, sizeof(because), "%s", why ? why : "");
	return PG_QUERY(pg, NULL, error, tell_sql, state->part, state->instance, MUSTER_VERSION, started, because,
			json_text(facts));
}
