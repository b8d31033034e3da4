#include "ingest/binding.h"

#include "common/limits.h"
#include "common/log.h"
#include "ingest/event.h"

#include <stdio.h>

// Several hellos of one session within a second count once: the first has its session cut.
#define SAID "said as (select distinct on (device) device, fingerprint, nullif(peer, '') as peer"     \
	" from unnest($1::text[], $2::text[], $4::text[]) s (device, fingerprint, peer)"     \
	" order by device, fingerprint desc)"
#define CHECK_SQL                                                                                                      \
	"with " SAID ", bound as (update device d set fingerprint = s.fingerprint from said s"                         \
	" where d.device = s.device and d.fingerprint is null),"                                                       \
	" wrong as (update device d set mismatches = d.mismatches + 1, mismatch_at = now(),"                           \
	" mismatch_fingerprint = s.fingerprint, mismatch_peer = s.peer from said s where d.device = s.device"          \
	" and d.enabled and d.fingerprint <> s.fingerprint and coalesce(d.mismatch_at < now() - interval '1 second', " \
	"true)"                                                                                                        \
	" returning d.device, d.fingerprint, d.mismatch_fingerprint, d.mismatches, d.mismatch_peer),"                  \
	" noted as (insert into event (device, epoch, seq, ts, received_at, measured_at, type, body)"                  \
	" select device, '-identity', mismatches, now(), now(), now(), 'fingerprint.mismatch', jsonb_build_object("    \
	"'bound', fingerprint, 'said', mismatch_fingerprint, 'count', mismatches, 'max', $3::integer,"                 \
	" 'peer', mismatch_peer) from wrong on conflict do nothing),"                                                  \
	" told as (insert into enrollment_event (type, device, reason) select 'mismatch', device,"                     \
	" 'said ' || mismatch_fingerprint from wrong)"                                                                 \
	" select device, mismatches from wrong"

static const char kick_sql[] = "select pg_notify('muster_kick', $1)";
static const char revoke_sql[] =
	"select revoke_device($1, format('it said to be another machine %s times', $2::text), 'ingest')";

void binding_init(struct binding *binding, long mismatch_max, struct metrics *metrics)
{
	*binding = (struct binding){.mismatch_max = mismatch_max};
	binding->mismatches = metrics_counter(metrics, "muster_ingest_fingerprint_mismatches_total", NULL,
					      "Sessions that said another fingerprint than their device is bound to.");
	binding->revoked = metrics_counter(metrics, "muster_ingest_fingerprint_revocations_total", NULL,
					   "Devices revoked because of that.");
}

bool binding_prepare(struct pg *pg, struct error *error)
{
	return pg_prepare(pg, "binding_check", CHECK_SQL, error) && pg_prepare(pg, "binding_kick", kick_sql, error) &&
	       pg_prepare(pg, "binding_revoke", revoke_sql, error);
}

// Device ids, fingerprints and addresses need no quoting.
static void add_element(struct buf *array, const char *text)
{
	(void)buf_addf(array, "%c%s", array->len_bytes == 0 ? '{' : ',', text);
}

static bool collect(const struct message *messages, size_t count, struct buf *devices, struct buf *fingerprints,
		    struct buf *peers)
{
	for (size_t i = 0; i < count; i++) {
		const struct message *message = &messages[i];

		if (!message->hello || !message->hello->fingerprint || message->refusal)
			continue;
		add_element(devices, message->device);
		add_element(fingerprints, message->hello->fingerprint);
		add_element(peers, message->hello->peer[0] ? message->hello->peer : "\"\"");
	}
	return devices->len_bytes > 0;
}

static bool follow(struct binding *binding, struct pg *pg, const struct pg_result *wrong, size_t row,
		   struct error *error)
{
	const char *const params[] = {pg_text(wrong, row, 0), pg_text(wrong, row, 1)};
	bool revoke = pg_int(wrong, row, 1) >= binding->mismatch_max;

	log_warn("sec.fingerprint.mismatch", "device", params[0], "count", params[1], "revoked", revoke ? "yes" : "no");
	binding->mismatched++;
	binding->disabled += revoke;
	return pg_run(pg, NULL, error, "binding_kick", 1, params) &&
	       (!revoke || pg_run(pg, NULL, error, "binding_revoke", 2, params));
}

bool binding_check(struct binding *binding, struct pg *pg, const struct message *messages, size_t count,
		   struct error *error)
{
	auto_buf struct buf devices = {0};
	auto_buf struct buf fingerprints = {0};
	auto_buf struct buf peers = {0};
	auto_pg_result struct pg_result *wrong = NULL;
	char max[24];

	binding->mismatched = binding->disabled = 0;
	buf_init(&devices, count * (DEVICE_ID_MAX + 1) + 2);
	buf_init(&fingerprints, count * FINGERPRINT_BYTES + 2);
	buf_init(&peers, count * (PEER_MAX + 1) + 2);
	if (!collect(messages, count, &devices, &fingerprints, &peers))
		return true;
	(void)buf_add_str(&devices, "}");
	(void)buf_add_str(&fingerprints, "}");
	(void)buf_add_str(&peers, "}");
	(void)snprintf(max, sizeof(max), "%ld", binding->mismatch_max);
	const char *const params[] = {buf_str(&devices), buf_str(&fingerprints), max, buf_str(&peers)};
	if (!pg_run(pg, &wrong, error, "binding_check", 4, params))
		return false;
	for (size_t row = 0; row < pg_rows(wrong); row++) {
		if (!follow(binding, pg, wrong, row, error))
			return false;
	}
	return true;
}

void binding_committed(struct binding *binding)
{
	metric_add(binding->mismatches, (double)binding->mismatched);
	metric_add(binding->revoked, (double)binding->disabled);
}
