#include "bridge/trust.h"

#include "common/json.h"

#include <stdio.h>
#include <string.h>

#define IDLE_MS 5000 // between two looks while nobody has to be told

// Those that said hello with another bundle. Also with an empty one: a device that wants none says nothing.
static const char sql_due[] =
	"select s.device from device_state s join device d on d.device = s.device and d.enabled"
	" left join trust_told t on t.device = s.device"
	" where s.presence = 'online' and s.trust <> $1"
	" and (t.device is null or t.trust <> $1 or t.told_at < now() - interval '1 hour') limit $2::integer";
static const char sql_told[] = "insert into trust_told (device, trust) select unnest($1::text[]), $2"
			       " on conflict (device) do update set trust = excluded.trust, told_at = now()";

void trust_changed(struct trust *trust)
{
	trust->next_ms = 0;
}

static bool tell(struct trust *trust, const char *device, const char *text, struct error *error)
{
	char topic[TOPIC_MAX_BYTES];

	if (!topic_build(topic, TOPIC_CERTIFICATE, device, NULL))
		return error_set(error, ERROR_INVALID, "\"%s\" is no device id", device);
	const struct mqtt_publish publish = {.topic = topic, .payload = text, .payload_bytes = strlen(text), .qos = 1};
	return link_publish(trust->link, &publish, NULL, error);
}

// Ids need no quoting in an array: [a-z0-9-].
static bool note(struct trust *trust, struct buf *told, struct error *error)
{
	buf_add_str(told, "}");
	return !told->overflowed &&
	       PG_QUERY(trust->pg, NULL, error, sql_told, buf_str(told), trust->authority->trust_sha256);
}

bool trust_tick(struct trust *trust, int64_t now_ms, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	auto_buf struct buf told = {0};
	struct error refused;
	char limit[24];

	if (now_ms < trust->next_ms || !link_ready(trust->link))
		return true;
	trust->next_ms = now_ms + IDLE_MS;
	(void)snprintf(limit, sizeof(limit), "%ld", trust->rate_per_s);
	if (!pg_ready(trust->pg, error) ||
	    !PG_QUERY(trust->pg, &rows, error, sql_due, trust->authority->trust_sha256, limit))
		return false;
	if (pg_rows(rows) == 0)
		return true;
	struct json *message auto_json = json_new_object();
	json_set_string(message, "ca", trust->authority->trust_pem);
	const char *text = json_text(message);
	buf_init(&told, (size_t)trust->rate_per_s * (DEVICE_ID_MAX + 1) + 3);
	buf_add_str(&told, "{");
	for (size_t i = 0; i < pg_rows(rows); i++) {
		if (!tell(trust, pg_text(rows, i, 0), text, &refused))
			break; // the broker is busy or away: the rest another time
		(void)buf_addf(&told, "%s%s", told.len_bytes > 1 ? "," : "", pg_text(rows, i, 0));
		metric_add(trust->told, 1);
	}
	if (pg_rows(rows) == (size_t)trust->rate_per_s)
		trust->next_ms = now_ms;
	return note(trust, &told, error);
}
