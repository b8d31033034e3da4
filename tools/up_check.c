#include "tools/up.h"

#include "common/clock.h"
#include "tools/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ONLINE_TIMEOUT_MS 60000
#define PING_TIMEOUT_MS 60000
#define POLL_MS 25
#define COMMAND_ID_MAX 40

// The devices of this run: this machine ($1, may be empty) and the simulated ones.
#define OURS "(d.device = $1 or d.device ~ '^sim-[0-9]+$') and d.enabled"
static const char sql_online[] = "select d.device from device d join device_state s using (device)"
				 " where " OURS " and s.presence = 'online' order by 1 limit $2::bigint";
static const char sql_succeeded[] = "select count(*) from command where id = any ($1::uuid[]) and state = 'succeeded'";
static const char sql_ended[] = "select device, state, reason from command where id = any ($1::uuid[])"
				" and state in ('failed', 'rejected', 'expired', 'cancelled') limit 1";
static const char sql_telemetry[] =
	"select row_to_json(t) from (select ts, cpu_pct, load1, mem_total, mem_available, disk_total,"
	" disk_free, uptime_s, network_type from telemetry where device = $1 order by ts desc limit 1) t";

static bool stopped(struct error *error)
{
	return error_set(error, ERROR_FAILED, "stopped before it was ready");
}

// Asks the database until it gives wanted rows, or for a number, that many; false when time is over.
static bool wait_rows(struct up *up, const char *sql, const char *const *params, size_t count, int64_t wanted,
		      bool as_number, int timeout_ms, struct pg_result **out, struct error *error)
{
	int64_t deadline = clock_mono_ms() + timeout_ms;
	for (;;) {
		auto_pg_result struct pg_result *rows = NULL;
		if (!pg_query(up->admin, &rows, error, sql, count, params))
			return false;
		int64_t got = as_number ? pg_int(rows, 0, 0) : (int64_t)pg_rows(rows);
		if (got >= wanted) {
			*out = steal(rows);
			return true;
		}
		if (clock_mono_ms() >= deadline)
			return error_set(error, ERROR_TIMEOUT, "%ld of %ld after %d s", (long)got, (long)wanted,
					 timeout_ms / 1000);
		if (!supervisor_turn(up->supervisor, POLL_MS))
			return stopped(error);
	}
}

static bool request_ping(struct api *api, const char *device, struct buf *ids, struct error *error)
{
	char body[160];
	const char *id = NULL;
	(void)snprintf(body, sizeof(body), "{\"device\":\"%s\",\"action\":\"ping\",\"ttl_s\":300}", device);
	auto_json struct json *answer = api_request(api, "POST", "/api/v1/commands", body, error);
	if (!answer)
		return error_prefix(error, "asking for a ping to %s", device);
	if (!json_member_string(answer, "id", &id))
		return error_set(error, ERROR_FAILED, "the API named no command id");
	return buf_addf(ids, "%s%s", ids->len_bytes > 1 ? "," : "", id);
}

// A command that ended badly says more than the count.
static void explain(struct up *up, const char *ids, struct error *error)
{
	struct error ignored;
	auto_pg_result struct pg_result *ended = NULL;
	if (PG_QUERY(up->admin, &ended, &ignored, sql_ended, ids) && pg_rows(ended) > 0)
		error_set(error, ERROR_FAILED, "the ping to %s ended as %s: %s", pg_text(ended, 0, 0),
			  pg_text(ended, 0, 1), pg_text(ended, 0, 2));
	else
		error_prefix(error, "pings that succeeded");
	(void)snprintf(error->where, sizeof(error->where), "commander");
}

static bool ping_all(struct up *up, const struct pg_result *devices, struct error *error)
{
	auto_buf struct buf ids = {0};
	auto_pg_result struct pg_result *done = NULL;
	auto_api struct api *api = api_new(&up->stack, error);
	if (!api)
		return false;
	buf_init(&ids, (pg_rows(devices) + 1) * COMMAND_ID_MAX);
	buf_add_str(&ids, "{");
	for (size_t i = 0; i < pg_rows(devices); i++) {
		if (!request_ping(api, pg_text(devices, i, 0), &ids, error))
			return false;
		// A part whose log nobody reads stands still, and with it whoever waits for what it has locked.
		if (!supervisor_turn(up->supervisor, 0))
			return stopped(error);
	}
	buf_add_str(&ids, "}");
	const char *const params[] = {buf_str(&ids)};
	if (!wait_rows(up, sql_succeeded, params, 1, up->devices, true, PING_TIMEOUT_MS, &done, error)) {
		explain(up, buf_str(&ids), error);
		return false;
	}
	up->pings_succeeded = pg_int(done, 0, 0);
	return true;
}

static bool read_telemetry(struct up *up, struct error *error)
{
	auto_pg_result struct pg_result *row = NULL;
	const char *const params[] = {up->machine};
	if (!wait_rows(up, sql_telemetry, params, 1, 1, false, ONLINE_TIMEOUT_MS, &row, error)) {
		error_prefix(error, "telemetry of this machine in the database");
		(void)snprintf(error->where, sizeof(error->where), "agent");
		return false;
	}
	(void)snprintf(up->telemetry.device, sizeof(up->telemetry.device), "%s", up->machine);
	(void)snprintf(up->telemetry.json, sizeof(up->telemetry.json), "%s", pg_text(row, 0, 0));
	return true;
}

bool up_check(struct up *up, struct error *error)
{
	char wanted[24];
	auto_pg_result struct pg_result *online = NULL;
	if (up->devices == 0)
		return true;
	(void)snprintf(wanted, sizeof(wanted), "%ld", up->devices);
	const char *const params[] = {up->machine, wanted};
	if (!wait_rows(up, sql_online, params, 2, up->devices, false, ONLINE_TIMEOUT_MS, &online, error)) {
		error_prefix(error, "devices online");
		(void)snprintf(error->where, sizeof(error->where), "ingest");
		return false;
	}
	(void)snprintf(up->example, sizeof(up->example), "%s", up->agent ? up->machine : pg_text(online, 0, 0));
	if (!ping_all(up, online, error))
		return false;
	if (up->agent && !read_telemetry(up, error))
		return false;
	up_step(up, "a signed ping to every device");
	return true;
}
