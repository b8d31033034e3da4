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
#define TAKES 10	 // changes that the streams are told

extern const char bench_seed[]; // seed.sql, see CMakeLists.txt

// %ld is another device each time. budget_ms: what 95 of 100 are to take at most (design, section 9).
static const struct question {
	const char *name, *path;
	double budget_ms;
} questions[] = {
	{"session", "/api/v1/session?n=%ld", 0},
	{"list", "/api/v1/devices?limit=100&after=dev-%06ld", 50},
	{"list, filtered and sorted", "/api/v1/devices?limit=100&sort=-memory&query=tag:kiosk%%20battery%%3C20&n=%ld",
	 50},
	{"list, next page of it", "/api/v1/devices?limit=100&sort=battery&query=tag:kiosk&after=dev-%06ld.40", 50},
	{"search", "/api/v1/devices?limit=100&q=dev-%06ld", 50},
	{"device", "/api/v1/devices/dev-%06ld", 50},
	{"overview", "/api/v1/overview?n=%ld", 50},
	{"events", "/api/v1/events?limit=100&n=%ld", 50},
	{"chart, 30 days", "/api/v1/devices/dev-%06ld/telemetry?metric=cpu_pct&from=%lld&points=300", 200},
	{"trend of all, 30 days", "/api/v1/analytics/trends?metric=cpu_pct&n=%ld&from=%lld", 200},
	{"trend of a tag, 30 days", "/api/v1/analytics/trends?metric=load1&scope=tag:kiosk&n=%ld&from=%lld", 200},
	{"trend of a model, 30 days", "/api/v1/analytics/trends?metric=cpu_pct&scope=model:t8&n=%ld&from=%lld", 200},
	{"trend of a query, 7 days", "/api/v1/analytics/trends?metric=cpu_pct&query=tag:kiosk&n=%ld", 200},
	{"the same by hour", "/api/v1/analytics/trends?metric=cpu_pct&by=hour&query=tag:kiosk&n=%ld", 200},
	{"trend of a query, 30 days",
	 "/api/v1/analytics/trends?metric=mem_used_pct&query=status:online%%20os:android&n=%ld&from=%lld", 200},
	{"the same of 1,000, 30 days",
	 "/api/v1/analytics/trends?metric=mem_used_pct&query=device:dev-00*%%20-device:dev-000*%%20os:android&n=%ld"
	 "&from=%lld",
	 200},
	{"uptime of a query, 30 days",
	 "/api/v1/analytics/trends?metric=online_pct&query=tag:kiosk%%20os:debian&n=%ld&from=%lld", 200},
	{"comparison of 4, 30 days",
	 "/api/v1/analytics/compare?metric=cpu_pct&devices=dev-000001,dev-000002,dev-000003,dev-%06ld&from=%lld", 200},
	{"events by type, 30 days", "/api/v1/analytics/events?n=%ld&from=%lld", 200},
	{"uptime of 100, 30 days", "/api/v1/analytics/uptime?limit=100&after=dev-%06ld&from=%lld", 200},
	{"uptime of scopes, 30 days", "/api/v1/analytics/uptime?by=scope&n=%ld&from=%lld", 200},
	{"busiest of a day", "/api/v1/analytics/reporters?limit=50&n=%ld", 200},
};
#define QUESTIONS (sizeof(questions) / sizeof(questions[0]))

struct bench {
	struct stage *stage;
	struct http_client *client;
	char token[TOKEN_TEXT_BYTES];
	long devices, streams;
	double ms[QUESTIONS][TIMES];
	size_t bytes[QUESTIONS];
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
	if (!account_ensure(pg, "bench", "administrator", error) ||
	    !account_token_create(pg, "bench", "api", "bench", TOKEN_S, bench->token, error))
		return false;
	bench->client = http_client_new(url, stage_dashboard_ca(bench->stage).text, bench->token, error);
	return bench->client != NULL;
}

static bool ask(struct bench *bench, size_t question, long number, double *ms, struct error *error)
{
	char path[512];
	int status = 0;
	auto_buf struct buf answer;
	long long month_ago_ms = (long long)clock_wall_ms() - 30LL * 86400000;
	buf_init(&answer, ANSWER_MAX_BYTES);
	// The paths are the table's own.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(path, sizeof(path), questions[question].path, number, month_ago_ms);
#pragma GCC diagnostic pop
	double begin_ms = now_ms();
	if (!http_client_request(bench->client, "GET", path, NULL, &status, &answer, error))
		return false;
	*ms = now_ms() - begin_ms;
	bench->bytes[question] = answer.len_bytes;
	return status == 200 || error_set(error, ERROR_FAILED, "%s: HTTP %d: %.200s", path, status, buf_str(&answer));
}

static double percentile(const struct bench *bench, size_t question, double share)
{
	return bench->ms[question][(size_t)(share * (TIMES - 1))];
}

static bool ask_all(struct bench *bench, struct error *error)
{
	for (size_t i = 0; i < QUESTIONS; i++) {
		double ignored;
		for (long n = -1; n < TIMES; n++) {
			if (!ask(bench, i, 1 + (n + 1) * 7 % CHARTED, n < 0 ? &ignored : &bench->ms[i][n], error))
				return false;
		}
		qsort(bench->ms[i], TIMES, sizeof(double), by_size);
		(void)fprintf(stderr, "%s: p95 %.1f ms\n", questions[i].name, percentile(bench, i, 0.95));
	}
	return true;
}

static void print(const struct bench *bench, int64_t idle_bytes, int64_t peak_bytes)
{
	(void)printf("%ld devices; seeded in %.1f s; each request %d times, one after the other, over one connection\n",
		     bench->devices, bench->seed_s, TIMES);
	(void)printf("%-28s %8s %8s %8s %9s %9s\n", "", "p50 ms", "p95 ms", "budget", "p95/budg.", "bytes");
	for (size_t i = 0; i < QUESTIONS; i++) {
		double p95 = percentile(bench, i, 0.95), budget = questions[i].budget_ms;
		(void)printf("%-28s %8.1f %8.1f %8.0f %9.2f %9zu\n", questions[i].name, percentile(bench, i, 0.5), p95,
			     budget, budget > 0 ? p95 / budget : 0, bench->bytes[i]);
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
	for (size_t i = 0; i < QUESTIONS; i++) {
		struct json *row = json_new_object();
		json_set_string(row, "request", questions[i].name);
		json_set_double(row, "p50_ms", percentile(bench, i, 0.5));
		json_set_double(row, "p95_ms", percentile(bench, i, 0.95));
		json_set_double(row, "budget_ms", questions[i].budget_ms);
		json_set_int(row, "bytes", (int64_t)bench->bytes[i]);
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
	http_client_free(bench->client);
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
