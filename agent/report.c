#include "agent/agent_internal.h"

#include "agent/inventory.h"
#include "agent/memory.h"
#include "common/clock.h"
#include "common/crypto.h"

#include <string.h>

#define INVENTORY_EVERY_MS 10000 // at most; it is read with a heartbeat

void agent_outbox_result(struct agent *agent, bool ok, const struct error *error)
{
	if (ok)
		log_fault_over(&agent->outbox_fault, "outbox.write");
	else
		log_fault(&agent->outbox_fault, "outbox.write", error);
}

bool agent_push_event(struct agent *agent, const char *type, const char *member, const char *value)
{
	struct error error = {0};
	struct json *body auto_json = json_new_object();
	json_set_string(body, "type", type);
	json_set_int(body, "ts", clock_wall_ms());
	json_set_string(body, member, value);
	bool ok = outbox_push(agent->outbox, agent->event_topic, body, NULL, &error);
	agent_outbox_result(agent, ok, &error);
	return ok;
}

void agent_tell_about_app(void *user, const char *type, const char *app, long tries, const char *reason)
{
	struct agent *agent = user;
	struct error error = {0};
	struct json *body auto_json = json_new_object();
	json_set_string(body, "type", type);
	json_set_int(body, "ts", clock_wall_ms());
	json_set_string(body, "app", app);
	if (tries > 0)
		json_set_int(body, "tries", tries);
	if (reason)
		json_set_string(body, "reason", reason);
	agent_outbox_result(agent, outbox_push(agent->outbox, agent->event_topic, body, NULL, &error), &error);
	log_write(LOG_WARN, type, "app", app, "reason", reason, (const char *)NULL);
}

void agent_report_boot(struct agent *agent)
{
	char *known auto_free = outbox_get(agent->outbox, "boot_id");
	struct error error = {0};
	if (!*agent->boot_id || (known && strcmp(known, agent->boot_id) == 0))
		return;
	if (!agent_push_event(agent, "boot", "boot_id", agent->boot_id))
		return;
	// If this fails, the same boot is reported once more.
	agent_outbox_result(agent, outbox_set(agent->outbox, "boot_id", agent->boot_id, &error), &error);
}

void agent_heartbeat_later(struct agent *agent, int64_t now_ms)
{
	int64_t interval_s = agent->facts.interval_s;
	uint16_t random;
	crypto_random(&random, sizeof(random));
	agent->heartbeat_ms = now_ms + interval_s * 900 + interval_s * 200 * random / UINT16_MAX;
}

void agent_heartbeat(struct agent *agent, int64_t now_ms)
{
	struct error error = {0};
	struct json *reading auto_json = collect_reading(&agent->collect, clock_wall_ms());
	json_set_int(reading, "outbox_dropped", outbox_dropped(agent->outbox));
	int64_t seq = 0;
	bool ok = outbox_push(agent->outbox, agent->telemetry_topic, reading, &seq, &error);
	if (ok && !agent->first_told)
		ok = agent->first_told = outbox_set_int(agent->outbox, OUTBOX_READING, seq, &error);
	agent_outbox_result(agent, ok, &error);
	uplink_latest(&agent->uplink, reading);

	if (now_ms >= agent->inventory_ms) {
		agent->inventory_ms = now_ms + INVENTORY_EVERY_MS;
		ok = inventory_report(&agent->platform, agent->outbox, agent->identity.device, clock_wall_ms(),
				      &error);
		agent_outbox_result(agent, ok, &error);
	}
	agent_heartbeat_later(agent, now_ms);
	if (agent->settle)
		memory_settle();
	agent->settle = false;
}
