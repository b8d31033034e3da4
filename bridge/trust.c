#include "bridge/trust.h"

#include "common/buf.h"
#include "common/json.h"

#include <stdio.h>
#include <stdlib.h>
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

// One look at the database, or one note in it.
struct round {
	struct worker_job job;
	struct trust *trust;
	char sha256[SHA256_HEX_BYTES]; // of the bundle that it is about
	char limit[24];
	struct pg_result *due;
	struct buf told; // as an array of PostgreSQL
};

static bool submit(struct trust *trust, struct round *round)
{
	trust->busy = worker_submit(trust->worker, &round->job);
	return trust->busy;
}

static void round_over(struct round *round, bool ok, const struct error *error)
{
	struct trust *trust = round->trust;

	trust->busy = false;
	if (ok)
		log_fault_over(trust->fault, "database.failed");
	else
		log_fault(trust->fault, "database.failed", error);
	pg_result_free(round->due);
	buf_done(&round->told);
	free(round);
}

static bool run_note(struct worker_job *job, struct pg *pg, struct error *error)
{
	struct round *round = (struct round *)job;

	return PG_QUERY(pg, NULL, error, sql_told, buf_str(&round->told), round->sha256);
}

static void note_done(struct worker_job *job, bool ok, const struct error *error)
{
	round_over((struct round *)job, ok, error);
}

static bool run_look(struct worker_job *job, struct pg *pg, struct error *error)
{
	struct round *round = (struct round *)job;

	return PG_QUERY(pg, &round->due, error, sql_due, round->sha256, round->limit);
}

// Ids need no quoting in an array: [a-z0-9-].
static void tell_all(struct trust *trust, struct round *round)
{
	struct json *message auto_json = json_new_object();
	struct error refused;

	json_set_string(message, "ca", trust->authority->trust_pem);
	const char *text = json_text(message);
	buf_init(&round->told, (size_t)trust->rate_per_s * (DEVICE_ID_MAX + 1) + 3);
	(void)buf_add_str(&round->told, "{");
	for (size_t i = 0; i < pg_rows(round->due); i++) {
		if (!tell(trust, pg_text(round->due, i, 0), text, &refused))
			break; // the broker is busy or away: the rest another time
		(void)buf_addf(&round->told, "%s%s", round->told.len_bytes > 1 ? "," : "", pg_text(round->due, i, 0));
		metric_add(trust->told, 1);
	}
	(void)buf_add_str(&round->told, "}");
}

static void look_done(struct worker_job *job, bool ok, const struct error *error)
{
	struct round *round = (struct round *)job;
	struct trust *trust = round->trust;
	size_t count = ok ? pg_rows(round->due) : 0;

	// Another bundle meanwhile: the next look is about that one.
	if (count == 0 || strcmp(round->sha256, trust->authority->trust_sha256) != 0) {
		round_over(round, ok, error);
		return;
	}
	if (count == (size_t)trust->rate_per_s)
		trust->next_ms = 0;
	tell_all(trust, round);
	round->job = (struct worker_job){.run = run_note, .done = note_done};
	if (!submit(trust, round))
		round_over(round, ok, error);
}

void trust_tick(struct trust *trust, int64_t now_ms)
{
	if (trust->busy || now_ms < trust->next_ms || !link_ready(trust->link))
		return;
	struct round *round = calloc(1, sizeof(*round));
	if (!round)
		abort();
	trust->next_ms = now_ms + IDLE_MS;
	round->job = (struct worker_job){.run = run_look, .done = look_done};
	round->trust = trust;
	memcpy(round->sha256, trust->authority->trust_sha256, sizeof(round->sha256));
	(void)snprintf(round->limit, sizeof(round->limit), "%ld", trust->rate_per_s);
	if (!submit(trust, round))
		free(round);
}
