#include "tools/bench/enroll.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/pki.h"
#include "tools/args.h"
#include "tools/bench/clients.h"
#include "tools/bench/stage.h"
#include "tools/cmd_bench.h"
#include "tools/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES 4000 // that speak HTTP; a device beats a few times a second then, below the default limit
#define ENROLLERS 16 // connections that enrol
#define CREDENTIAL_BYTES 44
#define LATENCY_RATE 1000
#define HEAD "Host: bench\r\nContent-Type: application/json\r\n"

// Single-use tokens; what a token is made of does not matter to the bridge.
static const char sql_tokens[] = "insert into enrollment_token (token_hash, id, uses_left, created_by, expires_at)"
				 " select sha256(convert_to($1 || lpad(i::text, 37, '0'), 'UTF8')), $1 || i, 1, "
				 "'bench', now() + interval '1 day'"
				 " from generate_series(0, $2::integer - 1) i";
static const char sql_rows[] = "select count(*) from telemetry";

struct plan {
	long connections, seconds, enrollments;
	bool json;
};

struct row {
	const char *what;
	size_t connections;
	double offered; // 0: as many as are taken
	struct clients_result result;
	struct stage_usage usage; // during the phase; heartbeats only
	double per_s;
};

enum { ENROL, REGISTER, BEAT, BEAT_NUMBERED, LATENCY, ROWS };

struct bench {
	struct plan plan;
	struct stage *stage;
	struct row rows[ROWS];
	struct buf csr; // as a JSON string
	char (*credentials)[CREDENTIAL_BYTES];
	int64_t limit;	 // of requests in this phase; 0: by time
	const char *prefix; // of tokens
	int64_t *seqs;	 // of numbered heartbeats; NULL: without numbers
	int64_t stored;	 // heartbeats answered 200
};

// ---- requests ----

static size_t put_request(char *out, size_t out_bytes, const char *path, const char *credential, const char *body)
{
	int len = snprintf(out, out_bytes, "POST %s HTTP/1.1\r\n" HEAD "%s%s%sContent-Length: %zu\r\n\r\n%s", path,
			   credential ? "Authorization: Bearer " : "", credential ? credential : "",
			   credential ? "\r\n" : "", strlen(body), body);
	return len > 0 && (size_t)len < out_bytes ? (size_t)len : 0;
}

static size_t enrol_request(void *user, int64_t number, char *out, size_t out_bytes)
{
	const struct bench *bench = user;
	char body[CLIENTS_REQUEST_BYTES / 2];
	if (number >= bench->limit)
		return 0;
	(void)snprintf(body, sizeof(body), "{\"token\":\"%s%037lld\",\"device\":\"e-%lld\",\"csr\":%s}", bench->prefix,
		       (long long)number, (long long)number, buf_str(&bench->csr));
	return put_request(out, out_bytes, "/v1/enroll", NULL, body);
}

static size_t register_request(void *user, int64_t number, char *out, size_t out_bytes)
{
	const struct bench *bench = user;
	char body[256];
	if (number >= bench->limit)
		return 0;
	(void)snprintf(body, sizeof(body), "{\"token\":\"%s%037lld\",\"device\":\"h-%lld\"}", bench->prefix,
		       (long long)number, (long long)number);
	return put_request(out, out_bytes, "/v1/register", NULL, body);
}

static void register_answer(void *user, int64_t number, int status, const char *body, size_t body_bytes)
{
	static const char name[] = "\"credential\":\"";
	struct bench *bench = user;
	const char *found = memmem(body, body_bytes, name, sizeof(name) - 1);
	if (status == 201 && found)
		(void)snprintf(bench->credentials[number], CREDENTIAL_BYTES, "%.43s", found + sizeof(name) - 1);
}

static size_t beat_request(void *user, int64_t number, char *out, size_t out_bytes)
{
	struct bench *bench = user;
	size_t device = (size_t)(number % DEVICES);
	char stamp[96] = "";
	char body[512];
	if (bench->limit > 0 && number >= bench->limit)
		return 0;
	if (bench->seqs)
		(void)snprintf(stamp, sizeof(stamp), "\"epoch\":\"e\",\"seq\":%lld,", (long long)++bench->seqs[device]);
	(void)snprintf(body, sizeof(body),
		       "{%s\"ts\":%lld,\"battery_pct\":%lld,\"charging\":true,\"cpu_pct\":%lld.5,\"load1\":0.25,"
		       "\"mem_total\":8160437862,\"mem_available\":4080218931,\"disk_total\":64053313536,"
		       "\"disk_free\":21351104512,\"uptime_s\":%lld,\"network_type\":\"wifi\",\"rssi_dbm\":-60,"
		       "\"temperature_c\":31.5}",
		       stamp, (long long)clock_wall_ms(), (long long)(99 - number / 64 % 90), (long long)(number % 99),
		       (long long)(86400 + number));
	return put_request(out, out_bytes, "/v1/heartbeat", bench->credentials[device], body);
}

// ---- the phases ----

static bool make_tokens(struct bench *bench, const char *prefix, int64_t count, struct error *error)
{
	char number[24];
	(void)snprintf(number, sizeof(number), "%lld", (long long)count);
	bench->prefix = prefix;
	bench->limit = count;
	return PG_QUERY(stage_database(bench->stage), NULL, error, sql_tokens, prefix, number);
}

static bool measure(struct bench *bench, int which, const struct row *row, const struct clients_phase *phase,
		    struct error *error)
{
	const struct clients_options options = {
		.port = stage_bridge_port(bench->stage),
		.connections = row->connections,
		.tls = stage_tls(bench->stage),
	};
	struct clients *clients cleanup(clients_free_cleanup) = clients_new(&options, error);
	struct row *out = &bench->rows[which];
	(void)fprintf(stderr, "%s ...\n", row->what);
	*out = *row;
	if (!clients || !clients_run(clients, phase, &out->result, error))
		return error_prefix(error, "%s", row->what);
	out->per_s = (double)out->result.answered / out->result.elapsed_s;
	if (out->result.refused > 0)
		return error_set(error, ERROR_FAILED, "%s: %lld requests were refused, one with status %d", row->what,
				 (long long)out->result.refused, out->result.refusal);
	return true;
}

static bool enrol(struct bench *bench, struct error *error)
{
	const struct row row = {.what = "enrolment (certificate)", .connections = ENROLLERS};
	const struct clients_phase phase = {.request = enrol_request, .user = bench};
	return make_tokens(bench, "enrol-", bench->plan.enrollments, error) &&
	       measure(bench, ENROL, &row, &phase, error);
}

static bool register_all(struct bench *bench, struct error *error)
{
	const struct row row = {.what = "registration (credential)", .connections = ENROLLERS};
	const struct clients_phase phase = {.request = register_request, .answer = register_answer, .user = bench};
	return make_tokens(bench, "regis-", DEVICES, error) && measure(bench, REGISTER, &row, &phase, error);
}

static bool beat(struct bench *bench, int which, const struct row *row, struct error *error)
{
	const struct clients_phase phase = {.rate = row->offered,
					    .duration_ms = bench->limit > 0 ? 0 : bench->plan.seconds * 1000,
					    .request = beat_request,
					    .user = bench};
	struct stage_usage before, after;
	stage_usage(bench->stage, &before);
	bool ok = measure(bench, which, row, &phase, error);
	stage_usage(bench->stage, &after);
	bench->rows[which].usage = (struct stage_usage){
		.bridge_s = after.bridge_s - before.bridge_s,
		.broker_s = after.broker_s - before.broker_s,
		.ingest_s = after.ingest_s - before.ingest_s,
		.database_s = after.database_s - before.database_s,
	};
	bench->stored += bench->rows[which].result.answered;
	return ok;
}

static bool beat_all(struct bench *bench, struct error *error)
{
	size_t connections = (size_t)bench->plan.connections;
	const struct row first = {.what = "first heartbeats", .connections = connections};
	const struct row plain = {.what = "heartbeats", .connections = connections};
	const struct row numbered = {.what = "heartbeats, numbered", .connections = connections};
	const struct row paced = {.what = "heartbeats, paced", .connections = connections, .offered = LATENCY_RATE};
	auto_free int64_t *seqs = calloc(DEVICES, sizeof(*seqs));
	if (!seqs)
		return error_set(error, ERROR_FAILED, "no memory");
	bench->limit = DEVICES; // each once, unmeasured: the bridge comes to know them
	if (!beat(bench, BEAT, &first, error))
		return false;
	bench->limit = 0;
	if (!beat(bench, BEAT, &plain, error))
		return false;
	bench->seqs = seqs;
	bool ok = beat(bench, BEAT_NUMBERED, &numbered, error);
	bench->seqs = NULL;
	return ok && beat(bench, LATENCY, &paced, error);
}

// Each answer was a row in the database, and there is no other.
static bool check_rows(struct bench *bench, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	if (!pg_query(stage_database(bench->stage), &rows, error, sql_rows, 0, NULL))
		return false;
	if (pg_int(rows, 0, 0) == bench->stored)
		return true;
	return error_set(error, ERROR_FAILED, "%lld heartbeats were answered, and %lld are in the database",
			 (long long)bench->stored, (long long)pg_int(rows, 0, 0));
}

// ---- the report ----

static void print(const struct bench *bench)
{
	static const struct table_column columns[] = {
		{.name = "what"},		       {.name = "connections", .number = true},
		{.name = "offered_per_s", .number = true}, {.name = "answered_per_s", .number = true},
		{.name = "p50_ms", .number = true},    {.name = "p95_ms", .number = true},
		{.name = "p99_ms", .number = true},    {.name = "max_ms", .number = true},
		{.name = "bridge_cpu", .number = true},    {.name = "broker_cpu", .number = true},
		{.name = "ingest_cpu", .number = true},    {.name = "database_cpu", .number = true},
	};
	auto_table struct table *table = table_new("results", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < ROWS; i++) {
		const struct row *row = &bench->rows[i];
		const struct load_latency *latency = &row->result.latency;
		char cell[11][32];
		const double cores[] = {row->usage.bridge_s, row->usage.broker_s, row->usage.ingest_s,
					row->usage.database_s};
		if (!row->what)
			continue;
		(void)snprintf(cell[0], sizeof(cell[0]), "%zu", row->connections);
		(void)snprintf(cell[1], sizeof(cell[1]), "%.0f", row->offered);
		(void)snprintf(cell[2], sizeof(cell[2]), "%.0f", row->per_s);
		(void)snprintf(cell[3], sizeof(cell[3]), "%.1f", latency->p50_ms);
		(void)snprintf(cell[4], sizeof(cell[4]), "%.1f", latency->p95_ms);
		(void)snprintf(cell[5], sizeof(cell[5]), "%.1f", latency->p99_ms);
		(void)snprintf(cell[6], sizeof(cell[6]), "%.1f", latency->max_ms);
		for (size_t j = 0; j < sizeof(cores) / sizeof(cores[0]); j++)
			(void)snprintf(cell[7 + j], sizeof(cell[0]), "%.2f", cores[j] / row->result.elapsed_s);
		TABLE_ROW(table, row->what, cell[0], row->offered > 0 ? cell[1] : NULL, cell[2], cell[3], cell[4],
			  cell[5], cell[6], cell[7], cell[8], cell[9], cell[10]);
	}
	table_print(table, bench->plan.json);
}

static bool start(struct bench *bench, struct error *error)
{
	const struct stage_options options = {.ingests = 1, .tls = true};
	bench->stage = stage_new(&options, error);
	return bench->stage && stage_broker_start(bench->stage, true, error) &&
	       stage_bridge_start(bench->stage, error) && stage_ingest_start(bench->stage, true, error);
}

static bool make_csr(struct bench *bench, struct error *error)
{
	auto_free char *pem = stage_csr(bench->stage, error);
	buf_init(&bench->csr, CLIENTS_REQUEST_BYTES / 2);
	return pem && json_quote(&bench->csr, pem);
}

static bool run(struct bench *bench, struct error *error)
{
	bench->credentials = calloc(DEVICES, CREDENTIAL_BYTES);
	if (!bench->credentials)
		return error_set(error, ERROR_FAILED, "no memory");
	return start(bench, error) && make_csr(bench, error) && enrol(bench, error) && register_all(bench, error) &&
	       beat_all(bench, error) && check_rows(bench, error);
}

int enroll_main(int argc, char **argv)
{
	struct error error = {0};
	struct args args = {0};
	struct bench bench = {.stage = NULL};
	const struct args_option *const tables[] = {bench_enroll_options};
	if (!args_parse(&args, tables, 1, argc, argv, &error) ||
	    !args_int(&args, "connections", 1, 10000, 256, &bench.plan.connections, &error) ||
	    !args_int(&args, "seconds", 1, 3600, 10, &bench.plan.seconds, &error) ||
	    !args_int(&args, "enrollments", 1, 100000, 2000, &bench.plan.enrollments, &error)) {
		(void)fprintf(stderr, "muster-bench: %s\n  next: muster bench enroll --help\n", error.what);
		return 2;
	}
	bench.plan.json = args_has(&args, "json");
	bool ok = run(&bench, &error);
	print(&bench);
	if (!ok)
		(void)fprintf(stderr, "muster-bench: %s\n", error.what);
	stage_free(bench.stage);
	buf_done(&bench.csr);
	free(bench.credentials);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
