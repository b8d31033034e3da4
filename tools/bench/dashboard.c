#include "tools/bench/dashboard.h"

#include "common/clock.h"
#include "common/http_client.h"
#include "tools/account.h"
#include "tools/args.h"
#include "tools/bench/machine.h"
#include "tools/bench/stage.h"
#include "tools/bench/viewers.h"
#include "tools/cmd_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEVICES_MAX 200000
#define CHARTED 500 // devices that have the hours of a month
#define TIMES 60    // of each request; the first is left out
#define ANSWER_MAX_BYTES ((size_t)8 * 1024 * 1024)
#define TOKEN_S 3600
#define STREAMS_MAX 4000 // as many as the dashboard has room for
#define TAKES 20	 // changes that the streams are told

extern const char bench_seed[]; // seed.sql, see CMakeLists.txt

// The same rows by the database alone, without policies, JSON and the daemon; $1 is the number of the device.
#define FLOOR_OF(found)                                                                                                \
	"select d.*, s.* from (" found ") k join device d on d.device = k.device"                                      \
	" left join device_state s on s.device = d.device"
#define NTH "'dev-' || lpad($1, 6, '0')"
#define KIOSKS "from device_roster r where 'kiosk' = any (r.tags) and "

// %ld is another device each time. budget_ms: what 95 of 100 are to take at most (design, section 9). floor NULL: an
// answer of the daemon that asks nobody.
static const struct question {
	const char *name, *path;
	double budget_ms;
	const char *floor;
	bool of_devices; // asked by everybody in persons
} questions[] = {
	{"session", "/api/v1/session?n=%ld", 0, NULL, false},
	{"list", "/api/v1/devices?limit=100&after=dev-%06ld", 50,
	 FLOOR_OF("select device from device where device > " NTH " order by device limit 101"), true},
	{"list, filtered and sorted", "/api/v1/devices?limit=100&sort=-memory&query=tag:kiosk%%20battery%%3C20&n=%ld",
	 50,
	 FLOOR_OF("select r.device " KIOSKS "battery < 20::float8 and $1 <> '' order by r.memory desc nulls last,"
		  " r.device limit 101"),
	 true},
	{"list, next page of it", "/api/v1/devices?limit=100&sort=battery&query=tag:kiosk&after=dev-%06ld.40", 50,
	 FLOOR_OF("select r.device " KIOSKS "(r.battery > 40::real or r.battery = 40::real and r.device > " NTH
		  ") order by r.battery, r.device limit 101"),
	 true},
	{"search", "/api/v1/devices?limit=100&q=dev-%06ld", 50,
	 FLOOR_OF("select r.device from device_roster r where r.search like '%' || " NTH
		  " || '%' order by r.device limit 101"),
	 true},
	{"count, by status", "/api/v1/devices/count?q=dev-%06ld", 50,
	 "select count(*), count(*) filter (where presence = 2) from device_roster where search like '%' || " NTH
	 " || '%'",
	 true},
	{"device", "/api/v1/devices/dev-%06ld", 50, FLOOR_OF("select " NTH " as device"), true},
	{"overview", "/api/v1/overview?n=%ld", 50, NULL, true},
	{"events", "/api/v1/events?limit=100&n=%ld", 50, NULL, true},
	{"chart, 30 days", "/api/v1/devices/dev-%06ld/telemetry?metric=cpu_pct&from=%lld&points=300", 200,
	 "select * from rollup_hour where device = " NTH " and metric = 'cpu_pct' order by hour", false},
	{"trend of all, 30 days", "/api/v1/analytics/trends?metric=cpu_pct&n=%ld&from=%lld", 200,
	 "select hour, n, min, max, sum, bins from rollup_fleet where tenant = 'default' and scope = ''"
	 " and metric = 'cpu_pct' and $1 <> ''",
	 false},
	{"trend of a tag, 30 days", "/api/v1/analytics/trends?metric=load1&scope=tag:kiosk&n=%ld&from=%lld", 200,
	 "select hour, n, min, max, sum, bins from rollup_fleet where tenant = 'default' and scope = 'tag:kiosk'"
	 " and metric = 'load1' and $1 <> ''",
	 false},
	{"trend of a model, 30 days", "/api/v1/analytics/trends?metric=cpu_pct&scope=model:t8&n=%ld&from=%lld", 200,
	 NULL, false},
	{"trend of a query, 7 days", "/api/v1/analytics/trends?metric=cpu_pct&query=tag:kiosk&n=%ld", 200, NULL, false},
	{"the same by hour", "/api/v1/analytics/trends?metric=cpu_pct&by=hour&query=tag:kiosk&n=%ld", 200, NULL, false},
	{"trend of a query, 30 days",
	 "/api/v1/analytics/trends?metric=mem_used_pct&query=status:online%%20os:android&n=%ld&from=%lld", 200, NULL,
	 false},
	{"the same of 1,000, 30 days",
	 "/api/v1/analytics/trends?metric=mem_used_pct&query=device:dev-00*%%20-device:dev-000*%%20os:android&n=%ld"
	 "&from=%lld",
	 200, NULL, false},
	{"uptime of a query, 30 days",
	 "/api/v1/analytics/trends?metric=online_pct&query=tag:kiosk%%20os:debian&n=%ld&from=%lld", 200, NULL, false},
	{"comparison of 4, 30 days",
	 "/api/v1/analytics/compare?metric=cpu_pct&devices=dev-000001,dev-000002,dev-000003,dev-%06ld&from=%lld", 200,
	 "select * from rollup_hour where device in ('dev-000001', 'dev-000002', 'dev-000003', " NTH
	 ") and metric = 'cpu_pct'",
	 false},
	{"events by type, 30 days", "/api/v1/analytics/events?n=%ld&from=%lld", 200, NULL, false},
	{"uptime of 100, 30 days", "/api/v1/analytics/uptime?limit=100&after=dev-%06ld&from=%lld", 200, NULL, false},
	{"uptime of scopes, 30 days", "/api/v1/analytics/uptime?by=scope&n=%ld&from=%lld", 200, NULL, false},
	{"busiest of a day", "/api/v1/analytics/reporters?limit=50&n=%ld", 200, NULL, false},
};
#define QUESTIONS (sizeof(questions) / sizeof(questions[0]))

// Who asks. There is a second tenant, without devices, so that each pays for the policies; the group has every tenth.
static const struct person {
	const char *name, *whose, *rights_sql; // name NULL: the floors
} persons[] = {
	{"bench", "all", "insert into tenant (name) values ('bench-other')"},
	{"bench-tenant", "a tenant", "update user_account set tenant = 'default' where name = 'bench-tenant'"},
	{"bench-group", "a group",
	 "update user_account set tenant = 'default' where name = 'bench-group';"
	 "insert into device_group (tenant, name, created_by) values ('default', 'bench', 'bench');"
	 "insert into device_group_member (tenant, group_name, device, added_by) select 'default', 'bench', device,"
	 " 'bench' from device where device ~ '^dev-[0-9]*0$' or device <= 'dev-000500';"
	 "insert into user_right (user_name, tenant, group_name, role, given_by)"
	 " values ('bench-group', 'default', 'bench', 'viewer', 'bench'); analyze device_group_member"},
	{NULL, "floor", NULL},
};
#define PERSONS (sizeof(persons) / sizeof(persons[0]))
#define FLOORS (PERSONS - 1)

struct bench {
	struct stage *stage;
	struct http_client *clients[FLOORS];
	char token[TOKEN_TEXT_BYTES]; // of the first
	long devices, streams;
	double ms[PERSONS][QUESTIONS][TIMES];
	size_t bytes[FLOORS][QUESTIONS];
	double seed_s;
	struct viewers_result told;
	bool json;
};

static double now_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;
	return (x > y) - (x < y);
}

static bool seed(struct bench *bench, struct error *error)
{
	char settings[128];
	double begin_ms = now_ms();
	struct pg *pg = stage_database(bench->stage);
	(void)snprintf(settings, sizeof(settings), "set bench.devices = '%ld'; set bench.charted = '%d'",
		       bench->devices, CHARTED);
	pg_set_timeout(pg, 0);
	bool done = pg_exec(pg, settings, error) && pg_exec(pg, bench_seed, error) && pg_exec(pg, "vacuum", error) &&
		    pg_exec(pg, "checkpoint", error);
	bench->seed_s = (now_ms() - begin_ms) / 1000;
	return done;
}

static bool log_in(struct bench *bench, struct error *error)
{
	char url[64];
	struct pg *pg = stage_database(bench->stage);
	(void)snprintf(url, sizeof(url), "https://localhost:%d", stage_dashboard_port(bench->stage));
	for (size_t i = 0; i < FLOORS; i++) {
		char token[TOKEN_TEXT_BYTES];
		if (!account_ensure(pg, persons[i].name, "administrator", error) ||
		    !pg_exec(pg, persons[i].rights_sql, error) ||
		    !account_token_create(pg, persons[i].name, "api", "bench", TOKEN_S, token, error))
			return false;
		bench->clients[i] = http_client_new(url, stage_dashboard_ca(bench->stage).text, token, error);
		if (!bench->clients[i])
			return false;
		if (i == 0)
			memcpy(bench->token, token, sizeof(token));
	}
	return true;
}

static bool ask_path(struct bench *bench, size_t person, const char *path, size_t *bytes, double *ms,
		     struct error *error)
{
	int status = 0;
	auto_buf struct buf answer;
	buf_init(&answer, ANSWER_MAX_BYTES);
	double begin_ms = now_ms();
	if (!http_client_request(bench->clients[person], "GET", path, NULL, &status, &answer, error))
		return false;
	*ms = now_ms() - begin_ms;
	if (bytes)
		*bytes = answer.len_bytes;
	return status == 200 || error_set(error, ERROR_FAILED, "%s: HTTP %d: %.200s", path, status, buf_str(&answer));
}

static bool ask_floor(struct bench *bench, size_t question, long number, double *ms, struct error *error)
{
	char text[24];
	(void)snprintf(text, sizeof(text), "%ld", number);
	if (!questions[question].floor)
		return ask_path(bench, 0, "/health", NULL, ms, error);
	double begin_ms = now_ms();
	if (!PG_QUERY(stage_database(bench->stage), NULL, error, questions[question].floor, text))
		return false;
	*ms = now_ms() - begin_ms;
	return true;
}

static bool ask(struct bench *bench, size_t person, size_t question, long number, double *ms, struct error *error)
{
	char path[512];
	long long month_ago_ms = (long long)clock_wall_ms() - 30LL * 86400000;
	if (person == FLOORS)
		return ask_floor(bench, question, number, ms, error);
	// The paths are the table's own.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(path, sizeof(path), questions[question].path, number, month_ago_ms);
#pragma GCC diagnostic pop
	return ask_path(bench, person, path, &bench->bytes[person][question], ms, error);
}

static double percentile(const struct bench *bench, size_t person, size_t question, double share)
{
	return bench->ms[person][question][(size_t)(share * (TIMES - 1))];
}

static double to_floor(const struct bench *bench, size_t person, size_t question)
{
	return percentile(bench, person, question, 0.5) / percentile(bench, FLOORS, question, 0.5);
}

static double to_budget(const struct bench *bench, size_t person, size_t question)
{
	double budget = questions[question].budget_ms;
	return budget > 0 ? percentile(bench, person, question, 0.95) / budget : 0;
}

static bool is_asked(size_t person, size_t question)
{
	return person == 0 || person == FLOORS || questions[question].of_devices;
}

// Each question of everybody in turn, so that what the machine does meanwhile happens to all of them, floors included.
static bool ask_all(struct bench *bench, struct error *error)
{
	for (size_t i = 0; i < QUESTIONS; i++) {
		double ignored;
		for (long n = -1; n < TIMES; n++) {
			for (size_t person = 0; person < PERSONS; person++) {
				double *ms = n < 0 ? &ignored : &bench->ms[person][i][n];
				if (is_asked(person, i) && !ask(bench, person, i, 1 + (n + 1) * 7 % CHARTED, ms, error))
					return false;
			}
		}
		for (size_t person = 0; person < PERSONS; person++)
			qsort(bench->ms[person][i], TIMES, sizeof(double), by_size);
		(void)fprintf(stderr, "%s: p95 %.1f ms\n", questions[i].name, percentile(bench, 0, i, 0.95));
	}
	return true;
}

static void print(const struct bench *bench, int64_t idle_bytes, int64_t peak_bytes)
{
	(void)printf("%ld devices; seeded in %.1f s; each request %d times, one after the other, over one connection\n"
		     "floor: the same rows from the database alone, without policies, JSON, HTTP; *: GET /health\n",
		     bench->devices, bench->seed_s, TIMES);
	(void)printf("%9s %9s  %-28s %-9s %8s %8s %8s %9s %9s\n", "p95/budg.", "p50/floor", "", "sees", "p50 ms",
		     "p95 ms", "budget", "floor ms", "bytes");
	for (size_t i = 0; i < QUESTIONS; i++) {
		for (size_t person = 0; person < FLOORS; person++) {
			if (is_asked(person, i))
				(void)printf("%9.2f %9.2f  %-28s %-9s %8.1f %8.1f %8.0f %8.2f%s %9zu\n",
					     to_budget(bench, person, i), to_floor(bench, person, i), questions[i].name,
					     persons[person].whose, percentile(bench, person, i, 0.5),
					     percentile(bench, person, i, 0.95), questions[i].budget_ms,
					     percentile(bench, FLOORS, i, 0.5), questions[i].floor ? " " : "*",
					     bench->bytes[person][i]);
		}
	}
	if (bench->streams > 0)
		(void)printf(
			"COMMIT to the last of %zu open streams: p50 %.1f ms, p95 %.1f ms, max %.1f ms (%d changes)\n",
			bench->told.streams, bench->told.p50_ms, bench->told.p95_ms, bench->told.max_ms, TAKES);
	(void)printf("memory of muster-dashboard: %.1f MB at its start, %.1f MB at its peak\n",
		     (double)idle_bytes / 1e6, (double)peak_bytes / 1e6);
}

static void print_json(const struct bench *bench, int64_t idle_bytes, int64_t peak_bytes)
{
	auto_json struct json *json = json_new_object();
	struct json *list = json_new_array();
	json_set(json, "machine", machine_describe());
	json_set_int(json, "devices", bench->devices);
	for (size_t i = 0; i < QUESTIONS * FLOORS; i++) {
		size_t question = i / FLOORS, person = i % FLOORS;
		if (!is_asked(person, question))
			continue;
		struct json *row = json_new_object();
		json_set_string(row, "request", questions[question].name);
		json_set_string(row, "sees", persons[person].whose);
		json_set_double(row, "p95_to_budget", to_budget(bench, person, question));
		json_set_double(row, "p50_to_floor", to_floor(bench, person, question));
		json_set_double(row, "p50_ms", percentile(bench, person, question, 0.5));
		json_set_double(row, "p95_ms", percentile(bench, person, question, 0.95));
		json_set_double(row, "budget_ms", questions[question].budget_ms);
		json_set_double(row, "floor_ms", percentile(bench, FLOORS, question, 0.5));
		json_set_int(row, "bytes", (int64_t)bench->bytes[person][question]);
		json_append(list, row);
	}
	json_set(json, "requests", list);
	json_set_int(json, "streams", (int64_t)bench->told.streams);
	json_set_double(json, "told_p50_ms", bench->told.p50_ms);
	json_set_double(json, "told_p95_ms", bench->told.p95_ms);
	json_set_double(json, "told_max_ms", bench->told.max_ms);
	json_set_int(json, "rss_idle_bytes", idle_bytes);
	json_set_int(json, "rss_peak_bytes", peak_bytes);
	(void)printf("%s\n", json_text(json));
}

static bool measure(struct bench *bench, struct error *error)
{
	const struct viewers_options viewers = {(size_t)bench->streams, TAKES, bench->stage, bench->token};
	(void)fprintf(stderr, "seeding %ld devices ...\n", bench->devices);
	if (!seed(bench, error) || !stage_dashboard_start(bench->stage, error) || !log_in(bench, error))
		return false;
	int64_t idle_bytes = stage_dashboard_peak(bench->stage);
	(void)fprintf(stderr, "seeded in %.1f s; asking ...\n", bench->seed_s);
	if (!ask_all(bench, error))
		return false;
	if (bench->streams > 0 && !viewers_run(&viewers, &bench->told, error))
		return false;
	(bench->json ? print_json : print)(bench, idle_bytes, stage_dashboard_peak(bench->stage));
	return true;
}

static void bench_done(struct bench *bench)
{
	for (size_t i = 0; i < FLOORS; i++)
		http_client_free(bench->clients[i]);
	stage_free(bench->stage);
}

int dashboard_main(int argc, char **argv)
{
	struct error error = {0};
	struct args args = {0};
	const struct args_option *const tables[] = {bench_dashboard_options};
	const struct stage_options stage = {.devices = 1, .ingests = 1, .tls = true};
	struct bench bench cleanup(bench_done) = {0};
	if (!args_parse(&args, tables, 1, argc, argv, &error) ||
	    !args_int(&args, "devices", CHARTED, DEVICES_MAX, 100000, &bench.devices, &error) ||
	    !args_int(&args, "streams", 0, STREAMS_MAX, 1000, &bench.streams, &error)) {
		(void)fprintf(stderr, "muster-bench: %s\n  next: muster bench dashboard --help\n", error.what);
		return 2;
	}
	bench.json = args_has(&args, "json");
	bench.stage = stage_new(&stage, &error);
	if (bench.stage && measure(&bench, &error))
		return EXIT_SUCCESS;
	(void)fprintf(stderr, "muster-bench: %s\n", error.what);
	return EXIT_FAILURE;
}
