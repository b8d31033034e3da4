#include "ingest/excess.h"

#include "common/log.h"

#include <stdio.h>

#define SWEEP_MS 10000 // who sent something is remembered for this long: some 250 bytes each

// The notice is the ingest's own, so that it has no number of the device; two programs of a group may each have one.
static const char tell_sql[] =
	"insert into event (device, epoch, seq, ts, received_at, measured_at, type, body)"
	" select device, '-limit', (extract(epoch from clock_timestamp()) * 1000000)::bigint, now(), now(), now(),"
	" 'limit.exceeded', jsonb_build_object('stored', true, 'messages', $2::bigint, 'bytes', $3::bigint, 'span_ms',"
	" $4::bigint, 'messages_per_s', $5::bigint, 'bytes_per_s', $6::bigint) from device where device = $1"
	" on conflict do nothing";

bool excess_init(struct excess *excess, const struct limits *limits, struct metrics *metrics, int64_t mono_ms,
		 struct error *error)
{
	*excess = (struct excess){.limits = *limits};
	if (!limits_check(limits, error))
		return error_prefix(error, "limit");
	excess->limiter = limiter_new(SWEEP_MS, mono_ms);
	excess->messages = metrics_counter(
		metrics, "muster_ingest_limit_exceeded_messages_total", NULL,
		"Messages beyond their devices' limits, an array's readings each; stored all the same.");
	excess->bytes = metrics_counter(metrics, "muster_ingest_limit_exceeded_bytes_total", NULL,
					"Bytes of payload beyond their devices' limits; stored all the same.");
	return excess->limiter || error_set(error, ERROR_FAILED, "out of memory");
}

void excess_done(struct excess *excess)
{
	limiter_free(excess->limiter);
}

bool excess_prepare(struct pg *pg, struct error *error)
{
	return pg_prepare(pg, "excess_tell", tell_sql, error);
}

void excess_count(struct excess *excess, const struct summary *summary, int64_t mono_ms)
{
	for (size_t i = 0; i < summary->device_count; i++) {
		const struct device_summary *device = summary->devices[i];
		limiter_charge(excess->limiter, &excess->limits, device->device, device->messages, device->bytes,
			       mono_ms);
	}
}

static bool tell(const struct excess *excess, struct pg *pg, struct error *error)
{
	const struct limiter_notice *notice = &excess->notice;
	const int64_t numbers[] = {notice->messages, notice->bytes, notice->span_ms, excess->limits.messages_per_s,
				   excess->limits.bytes_per_s};
	enum { COUNT = sizeof(numbers) / sizeof(numbers[0]) };
	char texts[COUNT][24];
	const char *params[1 + COUNT] = {notice->name};
	for (size_t i = 0; i < COUNT; i++) {
		(void)snprintf(texts[i], sizeof(texts[i]), "%lld", (long long)numbers[i]);
		params[1 + i] = texts[i];
	}
	return pg_run(pg, NULL, error, "excess_tell", 1 + COUNT, params);
}

bool excess_tell(struct excess *excess, struct pg *pg, int64_t mono_ms, struct error *error)
{
	for (;;) {
		if (!excess->telling && !limiter_due(excess->limiter, mono_ms, &excess->notice))
			return true;
		if (!excess->telling)
			log_warn("limit.exceeded", "device", excess->notice.name, "messages",
				 log_number(excess->notice.messages), "bytes", log_number(excess->notice.bytes));
		excess->telling = true;
		if (!pg_ready(pg, error) || !tell(excess, pg, error))
			return false;
		excess->telling = false;
		metric_add(excess->messages, (double)excess->notice.messages);
		metric_add(excess->bytes, (double)excess->notice.bytes);
	}
}
